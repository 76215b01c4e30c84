"""How fast this machine trains, beside other libraries and what the hardware can do."""
