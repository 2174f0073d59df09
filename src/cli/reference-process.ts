/** bench/pytorch_reference.py in a process of its own: one JSON object a line in either direction. */
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Reference, ReferenceAnswer } from '../bench/section';

export interface ReferenceProcess extends Reference {
  /** What failed, request by request. */
  readonly failures: string[];
  close(): Promise<void>;
}

/** Starts `python3 SCRIPT --serve`. It loads its libraries while the caller goes on. */
export function startReference(script: string): ReferenceProcess {
  const child = spawn(process.env.PYTHON ?? 'python3', [script, '--serve'], { stdio: ['pipe', 'pipe', 'inherit'] });
  const waiting: ((line: string | null) => void)[] = [];
  let ended = false;
  const end = () => {
    ended = true;
    for (const answer of waiting.splice(0)) answer(null);
  };
  child.on('exit', end);
  child.on('error', end);
  child.stdin.on('error', end);
  createInterface({ input: child.stdout }).on('line', (line) => waiting.shift()?.(line));

  const failures: string[] = [];
  const exchange = async <T>(request: object): Promise<T | null> => {
    const line = ended
      ? null
      : await new Promise<string | null>((resolve) => {
          waiting.push(resolve);
          child.stdin.write(`${JSON.stringify(request)}\n`);
        });
    const answer = line === null ? { error: `${script} has ended` } : (JSON.parse(line) as T & { error?: string });
    if (!answer.error) return answer as T;
    const message = `${JSON.stringify(request).slice(0, 120)}: ${answer.error}`;
    failures.push(message);
    process.stderr.write(`reference: ${message}\n`);
    return null;
  };

  const folders: string[] = [];
  return {
    failures,
    about: async () => (await exchange<Record<string, string>>({ hello: true })) ?? {},
    ask: (request) => exchange<ReferenceAnswer>(request),
    async file(pairs) {
      const folder = await mkdtemp(join(tmpdir(), 'bench-rows-'));
      folders.push(folder);
      const path = join(folder, 'tokens.jsonl');
      await writeFile(path, pairs.map((pair) => `${JSON.stringify(pair)}\n`).join(''));
      return path;
    },
    async close() {
      child.stdin.end();
      child.kill();
      await Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true })));
    },
  };
}
