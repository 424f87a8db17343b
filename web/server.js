/** Requests to the server. IDs and keys travel in headers, which proxies do not log by default. */

/** An answer that is not a success, or no answer. */
export class Refusal extends Error {
  constructor(status, code, title, detail) {
    super(title);
    this.status = status;
    this.code = code;
    this.detail = detail;
  }
}

/** No answer came, so the outcome is unknown. */
const NO_ANSWER = 'NO_ANSWER';
/** Longer than a server waits, by default, before it says that something takes too long. */
const SILENCE_MS = 30_000;

/** Whether a write that failed like this may have been done all the same. */
export function mayBeDone({ status, code }) {
  if (status === 502 || status === 504) return true;
  // Without a code it is not of the server, but of something between.
  if (code === '') return status >= 500 && status !== 503;
  return [NO_ANSWER, 'UNKNOWN_OUTCOME', 'INTERNAL'].includes(code);
}

let token = '';
let askForToken = () => undefined;

export function setToken(text) {
  token = text;
}

/** @param {() => void} act called whenever the token, or none, that is sent now is refused */
export function onTokenRefused(act) {
  askForToken = act;
}

/** Each dead token that is sent counts as a wrong one, until the server hears nobody from here. */
function forgetToken(refusal, sent) {
  if (refusal.code !== 'UNAUTHENTICATED' || token !== sent) return;
  token = '';
  askForToken();
}

function access() {
  return token === '' ? {} : { Authorization: `Bearer ${token}` };
}

/** Percent-encoded, as the headers require: any text is then visible ASCII. */
function nameHeaders(id) {
  return { 'Enc-Record-Id': encodeURIComponent(id) };
}

/** Refused here as by the server: some of what people paste cannot be sent in a header. */
function keyHeaders(key, name = 'Enc-Record-Key') {
  // Records of the family may have keys of 16 and 24 bytes, too (docs/INTEROP.md).
  const isKey = /^(?:[0-9a-f]{32}|[0-9a-f]{48}|[0-9a-f]{64})$/i.test(key);
  if (!isKey) throw new Refusal(400, 'INVALID_KEY', 'invalid key', '');
  return { [name]: key };
}

export async function status() {
  return await inJson(ask('GET', '/v1/status'));
}

/**
 * Stores a record, and reports how much of it has been sent.
 *
 * @param {{ id: string, key: string, oldKey?: string, body: Blob, type: string, seconds: string,
 *   once: boolean, ifAbsent: boolean }} record
 * @param {(share: number) => void} told
 */
export function store(record, told) {
  const { id, key, oldKey = '', body, type, seconds, once, ifAbsent } = record;
  const headers = {
    ...access(),
    ...nameHeaders(id),
    'Enc-Record-Key': key,
    ...(oldKey !== '' && keyHeaders(oldKey, 'Enc-Old-Key')),
    'Content-Type': type,
    ...(seconds !== '' && { 'Enc-Ttl': seconds }),
    ...(once && { 'Enc-Once': '1' }),
    ...(ifAbsent && { 'If-None-Match': '*' }),
  };
  const sent = token;
  // fetch() does not report how much of a body has been sent.
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open('PUT', '/v1/record');
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = ({ loaded, total }) => told(total === 0 ? 1 : loaded / total);
    request.onload = () => {
      if (request.status >= 300) {
        const refusal = refusalOf(request.status, request.responseText);
        forgetToken(refusal, sent);
        return reject(refusal);
      }
      try {
        resolve(JSON.parse(request.responseText));
      } catch {
        // Of something between, as the page of a proxy where one logs in.
        reject(noAnswer());
      }
    };
    request.onerror = () => reject(noAnswer());
    request.send(body);
  });
}

/** @param {string} reader with the same value, a record that can be read once can be read again */
export async function retrieve(id, key, reader) {
  const headers = { ...nameHeaders(id), ...keyHeaders(key), 'Enc-Reader': reader };
  return await ask('GET', '/v1/record', { headers });
}

/** @param {string} key empty if there is none */
export async function remove(id, key) {
  const headers = { ...nameHeaders(id), ...(key !== '' && keyHeaders(key)) };
  await ask('DELETE', '/v1/record', { headers });
}

/** @returns {Promise<number[]>} */
export async function itemIds(after, limit) {
  const range = after === undefined ? `limit=${limit}` : `after=${after}&limit=${limit}`;
  return await inJson(ask('GET', `/data?${range}`));
}

export async function item(id) {
  return await inJson(ask('GET', `/data/${id}`));
}

export async function addItem(id, data) {
  const headers = { 'Content-Type': 'application/json' };
  const body = JSON.stringify({ id, data });
  return await inJson(ask('POST', '/data', { headers, body }));
}

async function ask(method, path, { headers = {}, body } = {}) {
  const sent = token;
  const silence = new AbortController();
  let timer;
  const heard = () => {
    clearTimeout(timer);
    // Sending a body may take any time, and is not reported.
    if (body === undefined) timer = setTimeout(() => silence.abort(), SILENCE_MS);
  };
  let answer;
  let content;
  try {
    heard();
    const { signal } = silence;
    answer = await fetch(path, { method, headers: { ...access(), ...headers }, body, signal });
    content = await contentOf(answer, heard);
  } catch {
    throw silence.signal.aborted ? new Refusal(0, 'SILENT', 'no answer', '') : noAnswer();
  } finally {
    clearTimeout(timer);
  }
  if (answer.ok) return content;
  const refusal = refusalOf(answer.status, await content.body.text());
  forgetToken(refusal, sent);
  throw refusal;
}

/** However large it is: `heard` is called with each part that comes. */
async function contentOf({ headers, body }, heard) {
  const type = headers.get('Content-Type') ?? '';
  const parts = [];
  const reader = body?.getReader();
  for (let part = await reader?.read(); part?.value !== undefined; part = await reader.read()) {
    heard();
    parts.push(part.value);
  }
  return { body: new Blob(parts, { type }), type };
}

async function inJson(asked) {
  return JSON.parse(await (await asked).body.text());
}

function noAnswer() {
  return new Refusal(0, NO_ANSWER, 'no answer', '');
}

function refusalOf(status, text) {
  try {
    const { code = '', title = '', detail = '' } = JSON.parse(text);
    return new Refusal(status, code, title, String(detail));
  } catch {
    return new Refusal(status, '', '', '');
  }
}
