/**
 * Encrypted notes: `node notes.js add TITLE TEXT`, `list`, `show TITLE`, `remove TITLE`. The notes
 * lie at the service, sealed; their keys in the file `NOTES` (default: notes.json) and nowhere else.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { FeClient, parseAddress } from 'enc-server-ts/fe-client';

const file = process.env.NOTES ?? 'notes.json';
const client = new FeClient({ address: parseAddress(process.env.ENC_SERVER ?? 'localhost:7777') });
const notes = new Map(JSON.parse(await readFile(file, 'utf8').catch(() => '[]')));
const save = () => writeFile(file, JSON.stringify([...notes]), { mode: 0o600 });
const keyOf = (title) => {
  if (!notes.has(title)) throw new Error(`there is no note ${title}`);
  return Buffer.from(notes.get(title), 'hex');
};

const [command, title, text] = process.argv.slice(2);
if (command === 'add') {
  const { key } = await client.store(`note/${title}`, Buffer.from(text));
  notes.set(title, key.toString('hex'));
  await save();
} else if (command === 'list') {
  for (const name of notes.keys()) console.log(name);
} else if (command === 'show') {
  console.log(`${(await client.retrieve(`note/${title}`, keyOf(title))).record}`);
} else if (command === 'remove') {
  await client.delete(`note/${title}`, { key: keyOf(title) });
  notes.delete(title);
  await save();
} else {
  console.error('add TITLE TEXT, list, show TITLE, remove TITLE');
  process.exitCode = 2;
}
client.close();
