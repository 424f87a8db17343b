import { openStore } from '../../lib/store/open.ts';
import { storeSuite } from './store-suite.ts';

storeSuite('memory', async () => {
  const store = await openStore({ kind: 'memory' });
  return { store, destroy: () => store.close() };
});
