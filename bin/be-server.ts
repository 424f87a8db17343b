#!/usr/bin/env node
import { runBeServer } from '../lib/cli/server.ts';

process.exitCode = await runBeServer(process.argv.slice(2));
