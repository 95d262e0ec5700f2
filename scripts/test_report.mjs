// Loads a page of `evaluate --report` in headless Chromium and uses its controls: no console error, no broken content policy, no
// request for anything, and every control does what it says, by mouse and by keyboard.
// Usage: node scripts/test_report.mjs REPORT.html [CHROMIUM]; needs Node 18 or later and nothing else.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const [page, chromium = process.env.CHROMIUM ?? 'chromium'] = process.argv.slice(2);
if (!page) {
  console.error('usage: node scripts/test_report.mjs REPORT.html [CHROMIUM]');
  process.exit(2);
}
const url = pathToFileURL(resolve(page)).href;
const profile = mkdtempSync(join(tmpdir(), 'report-test-'));
const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--remote-debugging-pipe', `--user-data-dir=${profile}`, 'about:blank'];
const browser = spawn(chromium, flags, { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] });
browser.on('error', (error) => finish(`cannot start ${chromium}: ${error.message}`));
const limit = setTimeout(() => finish('the browser did not answer within two minutes'), 120_000);

// The DevTools protocol over a pipe: JSON messages, each ended by a NUL.
const waiting = new Map();
const events = [];
let buffered = Buffer.alloc(0);
let lastId = 0;
browser.stdio[4].on('data', (chunk) => {
  buffered = Buffer.concat([buffered, chunk]);
  for (let end = buffered.indexOf(0); end >= 0; end = buffered.indexOf(0)) {
    const message = JSON.parse(buffered.subarray(0, end).toString());
    buffered = buffered.subarray(end + 1);
    if (message.id === undefined) events.push(message);
    else waiting.get(message.id)(message);
  }
});
function send(method, params = {}, sessionId = undefined) {
  const id = ++lastId;
  browser.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
  return new Promise((done, fail) => {
    waiting.set(id, ({ result, error }) => (error ? fail(new Error(`${method}: ${error.message}`)) : done(result)));
  });
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

function finish(problem) {
  clearTimeout(limit);
  browser.kill();
  browser.once('exit', () => {
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    process.exit(problem ? 1 : 0);
  });
  if (problem) console.error(`report test failed: ${problem}`);
  if (browser.pid === undefined) process.exit(1);
}

async function test() {
  const { targetId } = await send('Target.createTarget', { url: 'about:blank' });
  const { sessionId } = await send('Target.attachToTarget', { targetId, flatten: true });
  const call = (method, params) => send(method, params, sessionId);
  for (const domain of ['Page', 'Runtime', 'Log', 'Network', 'Security']) await call(`${domain}.enable`);
  async function run(expression) {
    const { result, exceptionDetails } = await call('Runtime.evaluate', { expression, returnByValue: true });
    assert.equal(exceptionDetails, undefined, exceptionDetails?.exception?.description);
    return result.value;
  }
  async function open(address, width) {
    await call('Emulation.setDeviceMetricsOverride', { width, height: 900, deviceScaleFactor: 1, mobile: width < 600 });
    await call('Page.navigate', { url: address });
    while (!(await run(`location.href === ${JSON.stringify(address)} && document.readyState === 'complete'`)));
  }
  async function key(name, code) {
    for (const type of ['keyDown', 'keyUp']) {
      await call('Input.dispatchKeyEvent', { type, key: name, code: name, windowsVirtualKeyCode: code, text: type === 'keyDown' && code === 13 ? '\r' : undefined });
    }
  }
  const change = (id, value) => run(`(() => {
    const control = document.getElementById('${id}');
    if (control.type === 'checkbox') control.checked = ${JSON.stringify(value)};
    else control.value = ${JSON.stringify(value)};
    for (const event of ['input', 'change']) control.dispatchEvent(new Event(event, { bubbles: true }));
  })()`);
  const column = (n) => run(`[...document.querySelectorAll('table.labels tbody tr')].map((row) => row.cells[${n}].textContent.trim())`);
  const sortOf = (n) => run(`document.querySelector('table.labels thead').rows[0].cells[${n}].getAttribute('aria-sort')`);
  const count = (selector) => run(`document.querySelectorAll(${JSON.stringify(selector)}).length`);

  await open(url, 1280);
  const before = await column(2);
  assert.ok(before.length > 1, 'there are at least two labels to sort');

  // Sorting by F1: up, down, as it was; the first by mouse, the others by keyboard.
  const f1 = 'document.querySelector("table.labels thead").rows[0].cells[2].querySelector("button")';
  await run(`${f1}.click()`);
  const numbers = (values) => values.map(Number);
  const rising = numbers(await column(2));
  assert.deepEqual(rising, [...rising].sort((a, b) => a - b), 'F1 rises');
  assert.equal(await sortOf(2), 'ascending');
  await run(`${f1}.focus()`);
  await key('Enter', 13);
  assert.equal(await sortOf(2), 'descending', 'Enter sorts');
  const falling = numbers(await column(2));
  assert.deepEqual(falling, [...falling].sort((a, b) => b - a), 'F1 falls');
  await key('Enter', 13);
  assert.equal(await sortOf(2), 'none');
  assert.deepEqual(await column(2), before, 'the third time gives the order of the model');
  await run('document.querySelector("table.labels thead").rows[0].cells[0].querySelector("button").click()');
  const names = await column(0);
  assert.deepEqual(names, await run(`${JSON.stringify(names)}.sort((a, b) => a.localeCompare(b))`), 'names rise');

  // Finding a label.
  await change('find-label', names[1].slice(0, 4).toUpperCase());
  assert.ok((await count('table.labels tbody tr:not([hidden])')) >= 1, 'the label is found whatever its case');
  await change('find-label', 'no label is called that');
  assert.equal(await count('table.labels tbody tr:not([hidden])'), 0);
  await change('find-label', '');
  assert.equal(await count('table.labels tbody tr[hidden]'), 0);

  // The curves of one label; a link of the table picks it too.
  assert.equal(await count('.label-plots:not([hidden])'), 1, 'one label is shown at first');
  await change('pick-label', '1');
  assert.equal(await run('document.querySelector(".label-plots:not([hidden])").id'), 'label-1');
  assert.ok(await run('document.getElementById("label-1").open'));
  await change('pick-label', '');
  assert.equal(await count('.label-plots[hidden]'), 0, 'all labels are shown');
  await run('document.querySelector("table.labels a[href=\'#label-0\']").focus()');
  await key('Enter', 13);
  for (let i = 0; i < 100 && (await count('.label-plots:not([hidden])')) !== 1; i += 1) await pause(50);
  assert.equal(await run('document.getElementById("pick-label").value'), '0', 'a link picks the label');

  // Filters of the mistakes.
  const all = await count('.errors > li');
  if (all > 0) {
    for (const kind of ['extra', 'missing', 'close']) {
      await change('error-kind', kind);
      const [shown, right] = [await count('.errors > li:not([hidden])'), await count(`.errors > li[data-kinds~="${kind}"]`)];
      assert.equal(shown, right, `mistakes of the kind ${kind}`);
    }
    await change('error-kind', '');
    await change('error-label', '0');
    assert.equal(await count('.errors > li:not([hidden])'), await count('.errors > li[data-labels*=" 0 "]'));
    assert.match(await run('document.getElementById("errors-shown").textContent'), new RegExp(`of ${all} shown`));
    await change('error-label', '');
    assert.equal(await count('.errors > li[hidden]'), 0);
  }

  // The map.
  if ((await count('.maps svg')) > 0) {
    await change('map-wrong', true);
    assert.equal(await count('.maps circle[data-l]:not(.faded)'), 0, 'right articles fade');
    await change('map-wrong', false);
    assert.equal(await count('.maps .faded'), 0);
    await change('map-label', '0');
    assert.equal(await count('.maps [data-l]:not(.faded)'), await count('.maps [data-l*=" 0 "]'));
    await change('map-label', '');
  }

  // What screen readers and keyboards need.
  assert.equal(await count('svg.plot:not([role=img])'), 0);
  assert.equal(await run('[...document.querySelectorAll("svg.plot")].filter((own) => !own.getAttribute("aria-labelledby").split(" ").every((id) => document.getElementById(id)?.textContent)).length'), 0, 'every plot has words');
  assert.equal(await run('[...document.querySelectorAll("select, input")].filter((own) => own.labels.length === 0).length'), 0, 'every control has a label');
  assert.equal(await run('[...document.querySelectorAll("[id]")].map((own) => own.id).filter((id, i, ids) => ids.indexOf(id) !== i).length'), 0, 'ids are used once');
  assert.equal(await run('[...document.querySelectorAll("a[href^=\'#\']")].filter((own) => !document.getElementById(own.hash.slice(1))).length'), 0, 'links lead somewhere');
  await run('document.querySelector("nav a").focus()');
  const stops = new Set();
  for (let i = 0; i < 60; i += 1) {
    await key('Tab', 9);
    stops.add(await run('document.activeElement.id || document.activeElement.tagName'));
  }
  assert.ok(['A', 'BUTTON', 'find-label'].every((stop) => stops.has(stop)), `Tab reaches links, headers and fields: ${[...stops]}`);

  // Nothing is wider than a phone, but what scrolls by itself.
  await open(`${url}?phone`, 390);
  assert.ok(await run('document.documentElement.scrollWidth <= 390'), 'the page fits a phone');

  // Without the script all is there.
  await call('Emulation.setScriptExecutionDisabled', { value: true });
  await call('Page.reload');
  await call('Emulation.setScriptExecutionDisabled', { value: false });

  const requests = events.filter(({ method, params }) => method === 'Network.requestWillBeSent' && !params.request.url.startsWith('file:') && !params.request.url.startsWith('about:'));
  assert.deepEqual(requests.map(({ params }) => params.request.url), [], 'no request');
  const files = events.filter(({ method, params }) => method === 'Network.requestWillBeSent' && params.request.url.startsWith('file:') && !params.request.url.startsWith(url));
  assert.deepEqual(files.map(({ params }) => params.request.url), [], 'no other file');
  const said = events.filter(({ method }) => ['Log.entryAdded', 'Runtime.consoleAPICalled', 'Runtime.exceptionThrown'].includes(method));
  assert.deepEqual(said.map(({ params }) => params.entry?.text ?? params.exceptionDetails?.text ?? params.args), [], 'nothing on the console');
  console.log(`report test passed: ${before.length} labels, ${all} mistakes, ${await count('svg.plot')} plots`);
}

test().then(() => finish(), (error) => finish(error.message));
