/** The five views of the page, and their actions. */
import { copyable, doing, find, make, showError } from './dom.js';
import { decodeLink, drawKey, encodeLink, toHex } from './link.js';
import { recordForm } from './record-form.js';
import { clearRecord, showRecord } from './record-view.js';
import * as server from './server.js';
import { wordsOf } from './words.js';

const RANDOM_ID_BYTES = 16;
const ITEMS_AT_ONCE = 50;
/** Fewer than the connections of a browser: an item that waits for one would seem to be silent. */
const ASKED_AT_ONCE = 4;

function show(section, ...children) {
  const made = find('.made', section);
  made.replaceChildren(...children);
  made.classList.remove('before');
  made.hidden = false;
  made.focus();
}

export function share() {
  const section = find('#share');
  recordForm(section, async (record, told) => {
    const key = drawKey();
    const id = `once-${toHex(crypto.getRandomValues(new Uint8Array(RANDOM_ID_BYTES)))}`;
    const seconds = find('#share-ends').value;
    await server.store(
      { ...record, id, key: toHex(key), seconds, once: true, ifAbsent: true },
      told,
    );
    const link = `${location.origin}/#${encodeLink(key, id)}`;
    show(
      section,
      copyable('The link', link),
      make(
        'p',
        { class: 'hint' },
        'It is shown here once. Whoever opens it first reads the record.',
      ),
    );
  });
}

export function store() {
  const section = find('#store');
  const [oldKey, proof] = [find('#store-old-key'), find('#store-proof')];
  const named = (id, before, after) => make('p', {}, before, make('bdi', {}, id), after);
  // By ID, until it is stored: if only the answer got lost, another key would be refused, or would
  // replace the record under a key that was never shown.
  const keys = new Map();
  recordForm(section, async (record, told) => {
    const id = find('#store-id').value;
    const key = keys.get(id) ?? drawKey();
    keys.set(id, key);
    const secrets = [
      copyable('The key', toHex(key)),
      copyable('A link with ID and key', `${location.origin}/#${encodeLink(key, id)}`),
      make('p', { class: 'hint' }, 'The key is shown here once, and is kept nowhere.'),
    ];
    const [seconds, once] = [find('#store-ends').value, find('#store-once').checked];
    try {
      const { replaced } = await server.store(
        {
          ...record,
          id,
          key: toHex(key),
          oldKey: oldKey.value.trim(),
          seconds,
          once,
          ifAbsent: false,
        },
        told,
      );
      keys.delete(id);
      proof.hidden = true;
      const done = replaced ? '; it replaced what was there.' : '.';
      show(section, named(id, 'Stored as ', done), ...secrets);
    } catch (error) {
      if (error.code === 'KEY_REQUIRED') proof.hidden = false;
      if (server.mayBeDone(error)) {
        const advice = '. Try again, or keep the key that it then has.';
        show(section, named(id, 'It may have been stored as ', advice), ...secrets);
      }
      throw error;
    }
  });
}

export function retrieve() {
  const section = find('#retrieve');
  const [form, found, done] = [
    find('form', section),
    find('.found', section),
    find('.done', section),
  ];
  const fields = () => ({
    id: find('#retrieve-id').value,
    key: find('#retrieve-key').value.trim(),
  });
  // What was asked for last: the answer, and what failed, of anything before it is dropped.
  let asked;
  const reset = (id) => {
    asked = { id };
    clearRecord(found);
    done.hidden = true;
    return asked;
  };
  // The same token for the same record, so that it can be requested again if an answer was lost.
  const readers = new Map();
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    await doing(form, find('button[type="submit"]', form), async () => {
      const { id, key } = fields();
      const mine = reset(id);
      const isWanted = () => asked === mine;
      const reader = readers.get(`${id} ${key}`) ?? toHex(drawKey());
      readers.set(`${id} ${key}`, reader);
      try {
        await showRecord(found, await server.retrieve(id, key, reader), isWanted);
      } catch (error) {
        if (isWanted()) throw error;
      }
    });
  });
  const button = find('#retrieve-delete');
  button.addEventListener('click', async () => {
    await doing(form, button, async () => {
      const { id, key } = fields();
      reset(id);
      if (!form.reportValidity()) return;
      await server.remove(id, key);
      // Meanwhile the same record may have been shown, or another one, which stays.
      if (asked.id === id) reset(id);
      const name = make('bdi', {}, id);
      done.replaceChildren('Deleted: nothing is there any more as ', name, '.');
      done.hidden = false;
    });
  });
}

/** Opens nothing by itself: link previews would read the record, and it would be gone. */
export function link() {
  const section = find('#link');
  const [button, found] = [find('#link-open'), find('.found', section)];
  const reader = toHex(drawKey());
  button.addEventListener('click', async () => {
    await doing(section, button, async () => {
      const target = decodeLink(location.hash.slice(1));
      if (target === undefined) throw Object.assign(new Error(), { code: 'CUT_LINK' });
      const { id, key } = target;
      const address = location.hash;
      // The answer, and what failed, are of no other link that was followed meanwhile.
      const isHere = () => location.hash === address;
      try {
        const record = await server.retrieve(id, toHex(key), reader);
        if (!(await showRecord(found, record, isHere))) return;
        button.hidden = true;
        find('#link-words').hidden = true;
      } catch (error) {
        if (isHere()) throw error;
      }
    });
  });
  return () => {
    const isWhole = decodeLink(location.hash.slice(1)) !== undefined;
    const cut = Object.assign(new Error(), { code: 'CUT_LINK' });
    showError(section, isWhole ? undefined : cut);
    button.hidden = !isWhole;
    find('#link-words').hidden = !isWhole;
    clearRecord(found);
  };
}

export function items() {
  const section = find('#items');
  const [form, list, more] = [find('form', section), find('#item-list'), find('#items-more')];
  let last;
  // What an older list still waits for is not put into a newer one.
  let lists = 0;
  const row = (id, data, attributes = {}) =>
    make('li', {}, make('span', { class: 'number' }, `${id}`), make('span', attributes, data));
  const rowOf = async (id) => {
    try {
      return row(id, (await server.item(id)).data);
    } catch (error) {
      // Of the others there would be as little, each after the same time.
      if (error.code === 'SILENT') throw error;
      return row(id, wordsOf(error), { class: 'unread' });
    }
  };
  const rowsOf = async (ids) => {
    const rows = [];
    const left = ids.entries();
    const worker = async () => {
      for (const [at, id] of left) rows[at] = await rowOf(id);
    };
    await Promise.all(Array.from({ length: ASKED_AT_ONCE }, worker));
    return rows;
  };
  const load = async () => {
    const mine = lists;
    try {
      const ids = await server.itemIds(last, ITEMS_AT_ONCE);
      const rows = await rowsOf(ids);
      if (mine !== lists) return;
      list.append(...rows);
      last = ids.at(-1) ?? last;
      more.hidden = ids.length < ITEMS_AT_ONCE;
    } catch (error) {
      if (mine === lists) throw error;
    }
  };
  const reload = async () => {
    lists++;
    last = undefined;
    list.replaceChildren();
    more.hidden = true;
    showError(form, undefined);
    await load().catch((error) => showError(form, error));
  };
  more.addEventListener('click', () => doing(form, more, load));
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    await doing(form, find('button', form), async () => {
      const input = find('#item-text');
      const text = input.value;
      await server.addItem(1, text);
      // The next one may have been begun meanwhile.
      if (input.value === text) input.value = '';
      await reload();
    });
  });
  return reload;
}
