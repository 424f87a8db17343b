import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { openStore } from '../../lib/store/open.ts';
import { childBody } from '../helpers/store-child.ts';
import { acknowledged, StoreProcess } from '../helpers/store-process.ts';
import { recordKey, withFolder } from '../helpers/store-values.ts';

describe('a store that is killed under load', () => {
  for (const bodyBytes of [500, 40_000]) {
    it(`has every put of ${bodyBytes} bytes that it acknowledged`, () =>
      withFolder(async (folder) => {
        const child = new StoreProcess(['load', folder, String(bodyBytes)]);
        try {
          await child.until((lines) => lines.length > 300);
        } finally {
          await child.kill();
        }
        const numbers = acknowledged(child.lines);
        assert.ok(numbers.length >= 300);
        const store = await openStore({ kind: 'level', folder, reserveBytes: 4096 });
        for (const number of numbers) {
          const found = await store.get(recordKey(number));
          assert.ok(found?.body?.equals(childBody(number, bodyBytes)), `put ${number}`);
        }
        await store.close();
      }));
  }
});
