import assert from 'node:assert/strict';
import { userInfo } from 'node:os';
import { describe, it } from 'node:test';
import { editDistance, nearest } from '../../lib/config/nearest.ts';
import { absolutePath, keyringFile, stateFolder } from '../../lib/config/paths.ts';
import { redactUri } from '../../lib/config/redact.ts';

describe('nearest', () => {
  it('counts edits', () => {
    assert.equal(editDistance('kitten', 'sitting'), 3);
    assert.equal(editDistance('', 'abc'), 3);
    assert.equal(editDistance('abc', ''), 3);
    assert.equal(editDistance('port', 'port'), 0);
  });

  it('finds what was meant, case ignored', () => {
    assert.equal(nearest('prot', ['host', 'port', 'dataDir']), 'port');
    assert.equal(nearest('DATADIR', ['host', 'port', 'dataDir']), 'dataDir');
    assert.equal(nearest('x', []), undefined);
  });
});

describe('redactUri', () => {
  it('hides the password and keeps the rest', () => {
    assert.equal(
      redactUri('mongodb://user:pass@h1:27017,h2:27018/db?replicaSet=rs'),
      'mongodb://user:***@h1:27017,h2:27018/db?replicaSet=rs',
    );
    assert.equal(redactUri('mongodb+srv://u:p@h'), 'mongodb+srv://u:***@h');
    assert.equal(redactUri('mongodb://user@host/db'), 'mongodb://user@host/db');
    assert.equal(redactUri('mongodb://localhost:27017'), 'mongodb://localhost:27017');
    assert.equal(redactUri(''), '');
  });

  it('hides all of a password that should have been escaped, and of a malformed string', () => {
    for (const password of ['hid:den', 'hid@den', 'hid/den', 'hid?den', '@hidden', 'hidden@']) {
      for (const scheme of ['mongodb://', 'mongodb:', '']) {
        const shown = redactUri(`${scheme}user:${password}@host/db`);
        assert.ok(!shown.includes('hid'), shown);
        assert.ok(!shown.includes('den'), shown);
      }
    }
  });

  it('hides secrets among the options', () => {
    const options =
      'tlsCertificateKeyFilePassword=hid&authMechanismProperties=AWS_SESSION_TOKEN:hid';
    assert.equal(
      redactUri(`mongodb://h/?${options}&w=majority`),
      'mongodb://h/?tlsCertificateKeyFilePassword=***&authMechanismProperties=***&w=majority',
    );
  });

  it('does not throw on what is no string', () => {
    assert.equal(redactUri(undefined as unknown as string), '');
  });
});

describe('paths', () => {
  it('puts state under XDG_STATE_HOME, else under the home folder', () => {
    assert.equal(
      stateFolder({ XDG_STATE_HOME: '/state', HOME: '/home/u' }),
      '/state/enc-server-ts',
    );
    const fallback = '/home/u/.local/state/enc-server-ts';
    assert.equal(stateFolder({ HOME: '/home/u' }), fallback);
    assert.equal(stateFolder({ HOME: '/home/u', XDG_STATE_HOME: 'relative' }), fallback);
    assert.match(stateFolder({}), /\.local\/state\/enc-server-ts$/);
  });

  it('takes no HOME that is empty or relative: state would be in the current folder', (t) => {
    const expected = `${userInfo().homedir}/.local/state/enc-server-ts`;
    const before = process.env['HOME'];
    t.after(() => {
      if (before === undefined) delete process.env['HOME'];
      else process.env['HOME'] = before;
    });
    for (const home of ['', '.', 'relative']) {
      process.env['HOME'] = home;
      assert.equal(stateFolder({ HOME: home }), expected);
    }
  });

  it('makes paths absolute and knows the home folder', () => {
    assert.equal(absolutePath('~/x', { HOME: '/home/u' }), '/home/u/x');
    assert.equal(absolutePath('~', { HOME: '/home/u' }), '/home/u');
    assert.equal(absolutePath('~x', {}), `${process.cwd()}/~x`);
    assert.equal(absolutePath('/a/../b', {}), '/b');
    assert.equal(keyringFile('/data'), '/data/fe/keyring.json');
  });
});
