#!/usr/bin/env node
import { runFeClient } from '../lib/cli/fe-client.ts';

process.exitCode = await runFeClient(process.argv.slice(2));
