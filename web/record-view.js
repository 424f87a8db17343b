/** A retrieved record: text is shown, everything can be saved. */
import { find, make } from './dom.js';

const TEXT_BYTES_MAX = 1024 * 1024;

/**
 * @param {{ body: Blob, type: string }} record
 * @param {() => boolean} isWanted asked when all is there
 * @returns {Promise<boolean>} whether it is shown
 */
export async function showRecord(place, { body, type }, isWanted = () => true) {
  const parts = [];
  const text = await textOf(body, type);
  if (!isWanted()) return false;
  if (text !== undefined) parts.push(make('pre', { class: 'text mono', tabindex: '0' }, text));
  const name = nameIn(type) || (text === undefined ? 'record' : 'record.txt');
  const url = URL.createObjectURL(body);
  const save = make('a', { href: url, download: name }, `Save as ${name}`);
  parts.push(make('p', {}, `${bytesInWords(body.size)}. `, save));
  clearRecord(place);
  place.replaceChildren(...parts);
  place.hidden = false;
  return true;
}

/** Also lets the browser forget the record, which its URL would keep. */
export function clearRecord(place) {
  const save = find('a', place);
  if (save !== null) URL.revokeObjectURL(save.href);
  place.replaceChildren();
  place.hidden = true;
}

/** Undefined if it is not text, or too much of it. */
async function textOf(body, type) {
  if (body.size > TEXT_BYTES_MAX || /^(?:image|audio|video)\//.test(type)) return undefined;
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(await body.arrayBuffer());
    // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is looked for.
    return /[\0-\x08\x0b\x0c\x0e-\x1f]/.test(text) ? undefined : text;
  } catch {
    return undefined;
  }
}

/** The content type carries the file's name, sealed with the record. */
export function typeWithName(file) {
  const type = file.type || 'application/octet-stream';
  const whole = `${type}; name="${encodeURIComponent(file.name)}"`;
  return whole.length <= 255 ? whole : type;
}

function nameIn(type) {
  const name = /; name="([^"]*)"/.exec(type)?.[1];
  if (name === undefined) return undefined;
  try {
    return plainName(decodeURIComponent(name)).replaceAll(/[/\\]/g, '_');
  } catch {
    return undefined;
  }
}

/** Without what controls the direction of writing, which can make `fdp.exe` look like `exe.pdf`. */
export function plainName(name) {
  return name.replaceAll(/[\p{Cc}\p{Bidi_Control}]/gu, '_');
}

function bytesInWords(bytes) {
  if (bytes < 1024) return `${bytes} bytes`;
  const [value, unit] = bytes < 1024 ** 2 ? [bytes / 1024, 'KiB'] : [bytes / 1024 ** 2, 'MiB'];
  return `${value.toFixed(1)} ${unit}`;
}
