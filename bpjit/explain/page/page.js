'use strict';

function start() {
  const data = JSON.parse(document.getElementById('data').textContent);
  if (data.film) {
    const section = document.getElementById('film');
    section.hidden = false;
    film(section, data.film);
  }
}

start();
