/** Helpers for elements. Text is inserted as text: nothing here turns it into markup. */
import { wordsOf } from './words.js';

export const find = (selector, within = document) => within.querySelector(selector);

/** @param {Record<string, string>} attributes */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** A text to copy, with a button for it. */
export function copyable(title, text) {
  const button = make('button', { type: 'button' }, 'Copy');
  button.setAttribute('aria-label', `Copy: ${title}`);
  // Beside the button, whose name stays: a new name of what has the focus is not spoken.
  const outcome = make('span', { role: 'status' });
  button.addEventListener('click', async () => {
    outcome.textContent = '';
    outcome.textContent = (await copy(text)) ? 'Copied' : 'Select and copy by hand';
  });
  const shown = make('code', { class: 'secret mono', 'data-what': title }, text);
  const row = make('div', { class: 'row' }, shown, button, outcome);
  return make('div', {}, make('h3', {}, title), row);
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Not available on pages without TLS, nor where it is forbidden.
    return false;
  }
}

export function showError(within, error) {
  const place = find('.error', within);
  place.textContent = error === undefined ? '' : wordsOf(error);
  place.hidden = error === undefined;
}

/** Runs the action of a button or a form, one at a time, and shows errors. */
export async function doing(within, button, work) {
  if (button.disabled) return;
  // What is disabled loses the focus: the button, and fields that the work disables.
  const focused = document.activeElement;
  button.disabled = true;
  showError(within, undefined);
  try {
    await work();
  } catch (error) {
    showError(within, error);
  } finally {
    button.disabled = false;
    if (document.activeElement === document.body) focused.focus();
  }
}
