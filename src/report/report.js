'use strict';
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const one = (id) => document.getElementById(id);
const listen = (id, event, act) => one(id)?.addEventListener(event, act);
const say = (id, text) => { if (one(id)) one(id).textContent = text; };
all('.controls').forEach((controls) => { controls.hidden = false; });

// Tables that can be sorted: up, down, as they came.
const number = (text) => (text === '–' || text === '' ? NaN : Number(text.replace(/,/g, '').replace('−', '-')));
function compare(a, b) {
  const [x, y] = [number(a), number(b)];
  if (Number.isNaN(x) && Number.isNaN(y)) return a.localeCompare(b);
  return x - y;
}
for (const table of all('table[data-sortable]')) {
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement('button');
    button.type = 'button';
    button.append(...head.childNodes);
    head.append(button);
    head.setAttribute('aria-sort', 'none');
    button.addEventListener('click', () => {
      const next = { none: 'ascending', ascending: 'descending', descending: 'none' }[head.getAttribute('aria-sort')];
      heads.forEach((other) => other.setAttribute('aria-sort', 'none'));
      head.setAttribute('aria-sort', next);
      const text = (row) => row.cells[column].textContent.trim();
      const [known, unknown] = [rows.filter((row) => text(row) !== '–'), rows.filter((row) => text(row) === '–')];
      const sorted = known.sort((a, b) => (next === 'descending' ? -1 : 1) * compare(text(a), text(b)));
      body.append(...(next === 'none' ? rows : [...sorted, ...unknown]));
    });
  });
}

// Labels whose names hold what is typed.
listen('find-label', 'input', (event) => {
  const wanted = event.target.value.trim().toLowerCase();
  const rows = all('table.labels tbody tr');
  rows.forEach((row) => { row.hidden = !row.cells[0].textContent.toLowerCase().includes(wanted); });
  say('labels-shown', wanted ? `${rows.filter((row) => !row.hidden).length} of ${rows.length} labels` : '');
});

// The curves of one label, or of all.
const curves = all('.label-plots');
function pick(value) {
  curves.forEach((own, i) => {
    own.hidden = value !== '' && i !== Number(value);
    own.open = value !== '' && i === Number(value);
  });
  if (one('pick-label')) one('pick-label').value = value;
}
listen('pick-label', 'change', (event) => pick(event.target.value));
function follow() {
  const found = /^#label-(\d+)$/.exec(location.hash);
  if (!found || !one(`label-${found[1]}`)) return;
  pick(found[1]);
  one('curves').scrollIntoView();
}
window.addEventListener('hashchange', follow);
if (curves.length > 0) {
  // Without a wish, the weakest label that has articles.
  const rows = all('table.labels tbody tr');
  const f1 = (i) => (rows[i].classList.contains('unseen') ? Infinity : number(rows[i].cells[2].textContent.trim()));
  const weakest = rows.reduce((best, _, i) => (f1(i) < f1(best) ? i : best), 0);
  pick(String(weakest));
  follow();
}

// Mistakes of one label, of one kind.
const mistakes = all('.errors > li');
function filterMistakes() {
  const [label, kind] = [one('error-label').value, one('error-kind').value];
  mistakes.forEach((own) => {
    const fits = own.dataset.labels.includes(` ${label} `) || label === '';
    own.hidden = !fits || !(kind === '' || own.dataset.kinds.split(' ').includes(kind));
  });
  say('errors-shown', `${mistakes.filter((own) => !own.hidden).length} of ${mistakes.length} shown`);
}
listen('error-label', 'change', filterMistakes);
listen('error-kind', 'change', filterMistakes);
if (mistakes.length > 0) filterMistakes();

// Points of one label, or wrong ones; the others fade.
const points = all('.maps [data-l]');
function fade() {
  const [label, wrongOnly] = [one('map-label').value, one('map-wrong').checked];
  let shown = 0;
  points.forEach((point) => {
    const fits = (label === '' || point.dataset.l.includes(` ${label} `)) && !(wrongOnly && point.tagName === 'circle');
    point.classList.toggle('faded', !fits);
    shown += fits;
  });
  const maps = all('.maps svg').length;
  say('map-shown', label === '' && !wrongOnly ? '' : `${shown / maps} of ${points.length / maps} points`);
}
listen('map-label', 'change', fade);
listen('map-wrong', 'change', fade);

// On paper nothing is folded away, but for the curves of very many labels.
let folded = [];
window.addEventListener('beforeprint', () => {
  const many = all('.curves.many .label-plots');
  folded = all('details').filter((own) => !own.open && !own.matches('.numbers') && !many.includes(own));
  folded.forEach((own) => { own.open = true; });
});
window.addEventListener('afterprint', () => folded.forEach((own) => { own.open = false; }));
