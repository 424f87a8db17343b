#!/usr/bin/env node
import { runBeClient } from '../lib/cli/be-client.ts';

process.exitCode = await runBeClient(process.argv.slice(2));
