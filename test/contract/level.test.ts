import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openStore } from '../../lib/store/open.ts';
import type { Store } from '../../lib/store/store.ts';
import { storeSuite } from './store-suite.ts';

storeSuite('level', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'enc-store-'));
  // A small reserve, since it is written anew in each test.
  const open = () => openStore({ kind: 'level', folder, reserveBytes: 4096 });
  let store: Store = await open();
  return {
    store,
    reopen: async () => {
      await store.close();
      store = await open();
      return store;
    },
    destroy: async () => {
      await store.close();
      await rm(folder, { recursive: true });
    },
  };
});
