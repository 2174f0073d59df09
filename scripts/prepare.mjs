/**
 * `npm run -s prepare -- --data FILE ...` runs the command of that name. npm also runs a script of this name after every
 * install; then there is nothing to do.
 */
if (process.env.npm_command === 'run' || process.env.npm_command === 'run-script' || process.argv.length > 2) {
  process.argv.splice(2, 0, 'prepare');
  await import('./run.mjs');
}
