/** What init-mongo.js, which only mongosh can run, names its things. */
import { readRepository } from './repository.ts';

function constantOf(pattern: RegExp): string {
  const found = pattern.exec(readRepository('deployments/mongo/init-mongo.js'))?.[1];
  if (found === undefined) throw new Error(`init-mongo.js has no ${pattern}`);
  return found;
}

export const INIT = {
  replicaSet: constantOf(/const REPLICA_SET = '([^']+)';/),
  user: constantOf(/const BACK_END = \{ user: '([^']+)',/),
  database: constantOf(/const BACK_END = \{.*database: '([^']+)' \}/),
} as const;
