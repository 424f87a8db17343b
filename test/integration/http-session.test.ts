import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { after, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { http, httpJson } from '../helpers/http.ts';
import { run, startUp } from '../helpers/programs.ts';
import { temporaryFolder } from '../helpers/servers.ts';

const exec = promisify(execFile);
const hasCurl = await exec('curl', ['--version']).then(
  () => true,
  () => false,
);

describe('HTTP of the real programs', () => {
  const folders: string[] = [];
  const newFolder = async () => {
    const folder = await temporaryFolder();
    folders.push(folder);
    return folder;
  };
  after(async () => {
    for (const folder of folders) await rm(folder, { recursive: true, force: true });
  });

  it('keeps items and records when everything is killed', async () => {
    const folder = await newFolder();
    const first = await startUp(folder);
    for (const id of [1, 2, 9]) {
      const created = await httpJson(first.fePort, 'POST', '/data', { id, data: `item ${id}` });
      assert.equal(created.status, 200);
    }
    const stored = await http(first.fePort, 'PUT', '/v1/records/alice', { body: 'hello' });
    const { key } = stored.json<{ key: string }>();
    await first.stop('SIGKILL');
    // Both servers notice that their parent is gone; until then the folder is locked.
    const second = await startWhenFree(folder);
    try {
      const taken = await httpJson(second.fePort, 'POST', '/data', { id: 1, data: 'next' });
      assert.deepEqual(taken.json(), { id: 10, data: 'next' });
      assert.deepEqual((await http(second.fePort, 'GET', '/data')).json(), [1, 2, 9, 10]);
      const item = await http(second.fePort, 'GET', '/data/9');
      assert.deepEqual(item.json(), { id: 9, data: 'item 9' });
      const headers = { 'Enc-Record-Key': key };
      const found = await http(second.fePort, 'GET', '/v1/records/alice', { headers });
      assert.equal(found.body.toString(), 'hello');
      const server = `127.0.0.1:${second.fePort}`;
      const args = ['--server', server, 'retrieve', '--id', 'alice', '--key', key];
      assert.equal((await run('fe-client', args)).stdout.toString(), 'hello');
    } finally {
      await second.stop();
    }
  });

  it('speaks with curl', { skip: hasCurl ? false : 'curl is not installed' }, async () => {
    const up = await startUp(await newFolder());
    const base = `http://localhost:${up.fePort}`;
    const curl = async (...args: string[]) => {
      const { stdout } = await exec('curl', [
        '--silent',
        '--show-error',
        '--max-time',
        '10',
        ...args,
      ]);
      return stdout;
    };
    try {
      const item = '{"id": 1, "data": "TestString"}';
      const json = ['-H', 'Content-Type: application/json'];
      assert.equal(await curl(...json, '-d', item, `${base}/data`), '{"id":1,"data":"TestString"}');
      assert.equal(await curl(`${base}/data`), '[1]');
      // Above 1 MiB curl waits for 100 Continue.
      const large = 'x'.repeat(3 * 1024 * 1024);
      const sent = exec('curl', ['--silent', '-T', '-', `${base}/v1/records/large`]);
      sent.child.stdin?.end(large);
      const { key } = JSON.parse((await sent).stdout) as { key: string };
      const { stdout } = await exec(
        'curl',
        ['--silent', '-H', `Enc-Record-Key: ${key}`, `${base}/v1/records/large`],
        { maxBuffer: 8 * 1024 * 1024 },
      );
      assert.ok(stdout === large);
      const code = ['-o', '/dev/null', '-w', '%{http_code}'];
      assert.equal(await curl(...code, `${base}/docs`), '200');
      assert.equal(await curl(...code, `http://localhost:${up.bePort}/readyz`), '200');
    } finally {
      assert.equal(await up.stop(), 0);
    }
  });
});

async function startWhenFree(folder: string) {
  for (let tries = 1; ; tries++) {
    try {
      return await startUp(folder);
    } catch (error) {
      if (tries >= 50) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}
