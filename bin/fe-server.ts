#!/usr/bin/env node
import { runFeServer } from '../lib/cli/server.ts';

process.exitCode = await runFeServer(process.argv.slice(2));
