/** Every byte that is logged, printed by a server or kept on a disk, searched for secrets. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { type RunningUp, run, startUp, talk } from '../helpers/programs.ts';
import { findSecrets } from '../helpers/secret-search.ts';
import { temporaryFolder } from '../helpers/servers.ts';

/** All regular files below a folder. */
async function filesOf(folder: string): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>();
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    files.set(path, await readFile(path));
  }
  return files;
}

describe('secrets', () => {
  let folder: string;
  let data: string;
  let up: RunningUp | undefined;
  beforeEach(async () => {
    folder = await temporaryFolder();
    data = join(folder, 'data');
  });
  afterEach(async () => {
    await up?.killAll();
    await rm(folder, { recursive: true });
  });

  const ID = 'user-4711-margarethe@example.org';
  const TOKEN = 'token-of-some-front-end-0815';
  const RECORD = 'a record that nobody may find again';
  const LARGE = Buffer.concat([Buffer.from(RECORD), randomBytes(200_000)]);

  /** Stores and asks in every way, rightly and wrongly. Resolves to the keys in use. */
  async function provoke({
    fePort,
    bePort,
    toFe,
    toBe,
  }: RunningUp): Promise<Record<string, Buffer>> {
    const store = ['store', '--id', ID, ...toFe];
    const drawn = (await run('fe-client', [...store, '--record', RECORD])).stdout.toString().trim();
    const read = (key: string) => run('fe-client', ['retrieve', '--id', ID, '--key', key, ...toFe]);
    assert.equal((await read(drawn)).stdout.toString(), RECORD);
    const wrong = randomBytes(32);
    assert.equal((await read(wrong.toString('hex'))).code, 4);
    const large = await run('fe-client', [...store, '--namespace', ID], { input: LARGE });
    assert.equal(large.code, 0);
    assert.equal(
      (await run('be-client', ['store', '--id', TOKEN, '--record', 'x', ...toBe])).code,
      0,
    );

    const said = (await talk(fePort, `STORE ${ID} ${RECORD}\nQUIT\n`)).toString();
    const fromText = said.slice(0, 64);
    const lines = [
      `RETRIEVE ${ID} ${fromText}`,
      `RETRIEVE ${ID} ${wrong.toString('hex')}`,
      `RETRIEVE ${ID} ${fromText.slice(1)}`,
      `RETRIEVE ${ID}x ${fromText}`,
      `DELETE ${ID} ${wrong.toString('hex')}`,
      `STORE64 ${ID} not base64 ${RECORD}`,
      `store ${ID} ${RECORD}`,
      `${ID} ${RECORD}`,
    ];
    await talk(fePort, `${lines.join('\n')}\nQUIT\n`);
    await talk(bePort, `STORE ${TOKEN} ${RECORD}\nRETRIEVE ${TOKEN}\nretrieve ${TOKEN}\nQUIT\n`);
    await talk(bePort, `GET /${ID}/${RECORD} HTTP/1.1\r\n\r\n`);
    // A frame that is none, with a record in it, and one that is cut off.
    const noFrame = Buffer.concat([Buffer.from([0, 0, 0, 100, 1, 0, 77]), Buffer.from(RECORD)]);
    for (const port of [fePort, bePort]) {
      await talk(port, Buffer.concat([noFrame, Buffer.from(ID.repeat(4))]));
      await talk(port, noFrame);
    }
    return {
      'the drawn key': Buffer.from(drawn, 'hex'),
      'the wrong key': wrong,
      'the key of the text line': Buffer.from(fromText, 'hex'),
    };
  }

  it('are in no log and no output of a server', async () => {
    const logs = join(folder, 'logs');
    const env = {
      ENC_SERVER_TS_LOG_DIR: logs,
      ENC_SERVER_TS_LOG_STDOUT: 'true',
      ENC_SERVER_TS_LOG_LEVEL: 'trace',
    };
    up = await startUp(data, [], { env });
    const keys = await provoke(up);
    // What the back end says when it is gone is logged by the front end, too.
    process.kill(up.bePid, 'SIGKILL');
    await talk(up.fePort, `STORE ${ID} ${RECORD}\nQUIT\n`).catch(() => undefined);
    assert.equal(await up.exited, 1);

    const places = await filesOf(logs);
    assert.equal(places.size, 2);
    places.set('standard output', Buffer.from(up.stdout));
    places.set('standard error', Buffer.from(up.stderr));
    const secrets = { ...keys, 'the ID': ID, 'the token': TOKEN, 'the record': RECORD };
    assert.deepEqual(findSecrets(secrets, places), []);

    // The same search finds what is there.
    const said = findSecrets({ word: 'listening' }, places);
    assert.equal(said.filter((finding) => finding.startsWith('word as raw in')).length, 3);
  });

  it('are in neither the folder of the store nor that of the keyring', async () => {
    up = await startUp(data);
    const keys = await provoke(up);
    const control = 'a control that nobody sealed';
    const store = ['store', '--id', 'control', '--record', control];
    assert.equal((await run('be-client', [...store, ...up.toBe])).code, 0);
    assert.equal(await up.stop(), 0);

    const places = await filesOf(data);
    const sealed = { ...keys, 'the ID': ID, 'the record': LARGE.subarray(-64) };
    assert.deepEqual(findSecrets(sealed, places), []);
    const found = findSecrets({ control }, places);
    assert.ok(
      found.length > 0 && found.every((finding) => finding.includes('/be/db/')),
      `${found}`,
    );
    assert.ok([...places.keys()].some((path) => path.endsWith('/fe/keyring.json')));
  });
});

describe('the search for secrets', () => {
  it('finds a planted one in every form and at every offset', () => {
    const secret = randomBytes(32);
    for (const offset of [0, 1, 2, 3]) {
      const whole = Buffer.concat([randomBytes(offset), secret, randomBytes(2)]);
      const forms = {
        raw: whole,
        hex: Buffer.from(whole.toString('hex')),
        'upper-case hex': Buffer.from(whole.toString('hex').toUpperCase()),
        base64: Buffer.from(whole.toString('base64')),
        base64url: Buffer.from(whole.toString('base64url')),
      };
      for (const [form, bytes] of Object.entries(forms)) {
        const [finding] = findSecrets({ it: secret }, new Map([['a place', bytes]]));
        assert.ok(finding !== undefined, `${form} at ${offset}`);
      }
    }
    assert.deepEqual(findSecrets({ it: secret }, new Map([['a place', randomBytes(99)]])), []);
  });
});
