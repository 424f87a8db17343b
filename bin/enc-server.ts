#!/usr/bin/env node
import { runEncServer } from '../lib/cli/enc-server.ts';

process.exitCode = await runEncServer(process.argv.slice(2));
