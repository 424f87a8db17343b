/** Chooses the view to show, and keeps the line with the state of the server. */
import { doing, find } from './dom.js';
import { clearRecord } from './record-view.js';
import * as server from './server.js';
import * as views from './views.js';
import { wordsOf } from './words.js';

const LOOK_MS = 10_000;
const NAMES = ['share', 'store', 'retrieve', 'items'];
const STORES = { level: 'LevelDB', mongo: 'MongoDB', memory: 'memory only' };

const shown = { link: views.link(), items: views.items() };
views.share();
views.store();
views.retrieve();

function show(name) {
  for (const one of [...NAMES, 'link']) find(`#${one}`).hidden = one !== name;
  for (const button of document.querySelectorAll('nav button')) {
    if (button.dataset.view === name) button.setAttribute('aria-current', 'page');
    else button.removeAttribute('aria-current');
  }
  shown[name]?.();
  // Its address is gone, so it would not be seen again.
  if (name !== 'link') clearRecord(find('#link .found'));
}

for (const button of document.querySelectorAll('nav button')) {
  button.addEventListener('click', () => {
    // The fragment of the address is a secret, so it must not stay there.
    if (location.hash !== '') history.replaceState(null, '', '/');
    show(button.dataset.view);
  });
}

function byAddress() {
  show(location.hash === '' ? 'share' : 'link');
}
addEventListener('hashchange', byAddress);
byAddress();

function wordsFor({ needsToken, ready, backEnd, store, tls, caller }) {
  if (needsToken) return 'An access token is needed';
  const parts = [
    backEnd ? (ready ? 'Ready' : 'Not ready') : 'The back end cannot be reached',
    ...(store === undefined ? [] : [STORES[store] ?? store]),
    tls ? 'TLS' : 'no TLS',
    caller ?? 'open to everyone',
  ];
  return parts.join(' · ');
}

const tokenForm = find('#token-form');
server.onTokenRefused(() => {
  tokenForm.hidden = false;
});
let looks = 0;
let shownLook = 0;

/** Shows how the server is; resolves to its words, and whether it asks for a token, if known. */
async function look() {
  const mine = ++looks;
  let words;
  let isBad = true;
  let needsToken;
  try {
    const status = await server.status();
    words = wordsFor(status);
    needsToken = status.needsToken;
    isBad = !status.ready && !needsToken;
  } catch (error) {
    // Any other failure says nothing about the token.
    if (error.code === 'UNAUTHENTICATED') needsToken = true;
    words = needsToken ? 'The access token is not valid' : wordsOf(error);
  }
  // What a later look found knows better. One that has only begun does not: where answers take
  // longer than the time between two looks, there is always one.
  if (mine > shownLook) {
    shownLook = mine;
    const line = find('#state');
    // Changed only when it differs, so that screen readers do not repeat it.
    if (line.textContent !== words) line.textContent = words;
    line.classList.toggle('bad', isBad);
    if (needsToken !== undefined) tokenForm.hidden = !needsToken;
  }
  return { words, needsToken };
}

tokenForm.addEventListener('submit', async (event) => {
  event.preventDefault();
  await doing(tokenForm, find('button', tokenForm), async () => {
    const input = find('#token');
    const given = input.value.trim();
    // Not every text can be sent: the browser would refuse, as if there were no answer.
    if (!/^[\x21-\x7e]+$/.test(given)) throw Object.assign(new Error(), { code: 'INVALID_TOKEN' });
    server.setToken(given);
    const { words, needsToken } = await look();
    if (needsToken !== false) throw new Error(words);
    input.value = '';
    shown.items();
  });
});

await look();
setInterval(look, LOOK_MS);
