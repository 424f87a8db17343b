/**
 * Encrypted notes: `node notes.js add TITLE TEXT`, `list`, `show TITLE`, `remove TITLE`. The notes
 * lie at the service, sealed; their keys in the file `NOTES` (default: notes.json) and nowhere else.
 */
import { readFile, rename, writeFile } from 'node:fs/promises';
import { drawKey, FeClient, parseAddress } from 'enc-server-ts/fe-client';

const file = process.env.NOTES ?? 'notes.json';
const client = new FeClient({ address: parseAddress(process.env.ENC_SERVER ?? 'localhost:7777') });
const noFile = (error) => (error.code === 'ENOENT' ? '[]' : Promise.reject(error));
const notes = new Map(JSON.parse(await readFile(file, 'utf8').catch(noFile)));
const save = async () => {
  // Beside the old file, which stays whole where the disk is full.
  await writeFile(`${file}.new`, JSON.stringify([...notes]), { mode: 0o600, flush: true });
  await rename(`${file}.new`, file);
};
// After an `add` that was cut off, either of two keys may be the right one.
const withKey = async (title, call) => {
  for (const key of [notes.get(title) ?? []].flat()) {
    const done = await call(Buffer.from(key, 'hex')).catch((error) => {
      if (error.code !== 'WRONG_KEY') throw error;
    });
    if (done !== undefined) return done;
  }
  throw new Error(`there is no note ${title}`);
};

const [command, title, text] = process.argv.slice(2);
if (command === 'add') {
  const key = drawKey();
  const hex = key.toString('hex');
  // Kept before it is used, and the old one until then: a note without its key is lost.
  notes.set(title, [hex, notes.get(title) ?? []].flat());
  await save();
  await client.store(`note/${title}`, Buffer.from(text), { key });
  notes.set(title, [hex]);
  await save();
} else if (command === 'list') {
  for (const name of notes.keys()) console.log(name);
} else if (command === 'show') {
  console.log(`${(await withKey(title, (key) => client.retrieve(`note/${title}`, key))).record}`);
} else if (command === 'remove') {
  await withKey(title, (key) => client.delete(`note/${title}`, { key }));
  notes.delete(title);
  await save();
} else {
  console.error('add TITLE TEXT, list, show TITLE, remove TITLE');
  process.exitCode = 2;
}
client.close();
