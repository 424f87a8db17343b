/** Small things with elements. Text is put in as text: nothing here makes markup of it. */
import { wordsOf } from './words.js';

export const find = (selector, within = document) => within.querySelector(selector);

/** @param {Record<string, string>} attributes */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Something to be copied, and a button for it. */
export function copyable(title, text) {
  const button = make('button', { type: 'button' }, 'Copy');
  button.setAttribute('aria-label', `Copy: ${title}`);
  button.addEventListener('click', async () => {
    const isCopied = await copy(text);
    button.textContent = isCopied ? 'Copied' : 'Select and copy by hand';
  });
  const shown = make('code', { class: 'secret mono', 'data-what': title }, text);
  return make('div', {}, make('h3', {}, title), make('div', { class: 'row' }, shown, button));
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Not on pages that came without TLS, nor where it is forbidden.
    return false;
  }
}

export function showError(within, error) {
  const place = find('.error', within);
  place.textContent = error === undefined ? '' : wordsOf(error);
  place.hidden = error === undefined;
}

/** Runs what a button or a form asks for, once at a time, and shows what goes wrong. */
export async function doing(within, button, work) {
  if (button.disabled) return;
  button.disabled = true;
  showError(within, undefined);
  try {
    await work();
  } catch (error) {
    showError(within, error);
  } finally {
    button.disabled = false;
  }
}
