/** A form that stores a text or a file: choosing, dropping, progress. */
import { doing, find } from './dom.js';
import { plainName, typeWithName } from './record-view.js';

const TEXT = 'text/plain; charset=utf-8';

/** @param {(record: { body: Blob, type: string }, told: (share: number) => void) => Promise<void>} send */
export function recordForm(section, send) {
  const form = find('form', section);
  const [text, drop] = [find('textarea', form), find('.drop', form)];
  const [input, words] = [find('input[type="file"]', drop), find('.drop-words', drop)];
  const [progress, button] = [find('progress', form), find('button[type="submit"]', form)];
  const fields = find('fieldset', form);
  const said = words.textContent;
  const none = find('.no-file', form);
  let file;
  const choose = (chosen) => {
    file = chosen;
    words.textContent =
      file === undefined ? said : `${plainName(file.name) || 'a file'}, ${file.size} bytes`;
    text.disabled = file !== undefined;
    none.hidden = file === undefined;
  };
  input.addEventListener('change', () => choose(input.files[0]));
  none.addEventListener('click', () => {
    input.value = '';
    choose(undefined);
    text.focus();
  });
  for (const kind of ['dragover', 'dragleave', 'drop']) {
    section.addEventListener(kind, (event) => {
      // A text that is dropped goes where it is dropped.
      if (!event.dataTransfer.types.includes('Files')) return;
      event.preventDefault();
      drop.classList.toggle('over', kind === 'dragover');
      if (kind !== 'drop' || fields.disabled) return;
      input.value = '';
      choose(event.dataTransfer.files[0]);
    });
  }
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    await doing(form, button, async () => {
      const record =
        file === undefined
          ? { body: new Blob([text.value]), type: TEXT }
          : { body: file, type: typeWithName(file) };
      // What is typed or chosen meanwhile would be taken for sent, and erased.
      fields.disabled = true;
      // It stays, since its key is shown nowhere else, but is not of what is sent now.
      find('.made', section).classList.add('before');
      progress.hidden = false;
      progress.value = 0;
      try {
        if (file !== undefined) await checkReadable(file, input);
        await send(record, (share) => {
          progress.value = share;
        });
        form.reset();
        choose(undefined);
      } finally {
        progress.hidden = true;
        fields.disabled = false;
      }
    });
  });
}

/** A browser refuses to send a file that has changed, and then it looks as if nobody answered. */
async function checkReadable(file, input) {
  try {
    // One byte tells. Of an empty one there is none, and only reading it whole looks at the file.
    await (file.size === 0 ? file : file.slice(0, 1)).arrayBuffer();
  } catch {
    // So that it tells when the same one is chosen again.
    input.value = '';
    throw Object.assign(new Error(), { code: 'FILE_CHANGED' });
  }
}
