/** Live logging of the next run to Weights & Biases, when the visitor wants it. */
import { useId } from 'react';
import { hostProblem, setWandb, useWandb } from '../store/wandb';
import { OutLink } from './ui';
import { WandbLine } from './WandbLine';

export function WandbCard() {
  const id = useId();
  const { wanted, host, key, entity, project } = useWandb();
  const problem = hostProblem(host);
  const field = (name: string) => ({ id: id + name, type: 'text', spellCheck: false, autoComplete: 'off' }) as const;
  return (
    <section className="card wandb" aria-labelledby={`${id}title`}>
      <h2 id={`${id}title`}>Log to Weights &amp; Biases</h2>
      <label className="check-line">
        <input type="checkbox" checked={wanted} onChange={(event) => setWandb({ wanted: event.target.checked })} /> Send
        the next run’s settings and metrics there as it trains
      </label>
      {wanted && (
        <>
          <div className="wandb-fields">
            <div>
              <label htmlFor={`${id}key`}>API key</label>
              <input
                {...field('key')}
                type="password"
                value={key}
                aria-describedby={`${id}about`}
                onChange={(event) => setWandb({ key: event.target.value.trim() })}
              />
            </div>
            <div>
              <label htmlFor={`${id}project`}>Project</label>
              <input
                {...field('project')}
                value={project}
                onChange={(event) => setWandb({ project: event.target.value.trim() })}
              />
            </div>
            <div>
              <label htmlFor={`${id}entity`}>Entity (user or team)</label>
              <input
                {...field('entity')}
                placeholder="the key’s own"
                value={entity}
                onChange={(event) => setWandb({ entity: event.target.value.trim() })}
              />
            </div>
            <div>
              <label htmlFor={`${id}host`}>Host</label>
              <input
                {...field('host')}
                inputMode="url"
                value={host}
                aria-invalid={problem !== null}
                aria-describedby={problem ? `${id}problem` : undefined}
                onChange={(event) => setWandb({ host: event.target.value.trim() })}
              />
              {problem && (
                <p id={`${id}problem`} className="field-problem">
                  {problem}
                </p>
              )}
            </div>
          </div>
          <p id={`${id}about`} className="fine">
            The key goes to that host and to no other, and is forgotten when the page is closed; yours is on{' '}
            <OutLink href="https://wandb.ai/authorize" />. Prompts, answers and weights stay here. A server of your own
            must allow this page to write to it (CORS).
          </p>
        </>
      )}
      <WandbLine />
    </section>
  );
}
