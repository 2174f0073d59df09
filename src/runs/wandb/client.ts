/**
 * The two requests of Weights & Biases that live logging needs: the GraphQL mutation that makes or finds a run, and the
 * file stream that takes its history line by line. As in wandb's own client, core/internal/filestream and
 * core/api/graphql.
 */

export interface WandbSettings {
  /** Without a slash at the end, e.g. https://api.wandb.ai. */
  host: string;
  key: string;
  /** User or team; empty for the key's own. */
  entity: string;
  project: string;
}

/** A run as the server knows it. */
export interface WandbRun {
  entity: string;
  project: string;
  name: string;
  /** Lines of history that are there already. */
  lines: number;
  /** Where a person can look at it. */
  url: string;
}

export interface FileStreamBody {
  files?: Record<string, { offset: number; content: string[] }>;
  complete?: boolean;
  exitcode?: number;
}

/** A request that failed. Those that are `passing` are worth another try. */
export class WandbError extends Error {
  readonly passing: boolean;
  /** Milliseconds that the server asks to wait for; null where it does not say. */
  readonly waitMs: number | null;
  constructor(message: string, passing: boolean, waitMs: number | null = null) {
    super(message);
    this.name = 'WandbError';
    this.passing = passing;
    this.waitMs = waitMs;
  }
}

const UPSERT = `mutation UpsertBucket($name: String, $project: String, $entity: String, $displayName: String, $notes: String, $config: JSONString) {
  upsertBucket(input: { name: $name, modelName: $project, entityName: $entity, displayName: $displayName, notes: $notes, config: $config }) {
    bucket { name historyLineCount project { name entity { name } } }
  }
}`;

interface UpsertAnswer {
  data?: {
    upsertBucket?: {
      bucket?: { name: string; historyLineCount: number | null; project: { name: string; entity: { name: string } } };
    };
  };
  errors?: { message: string }[];
}

/** A request that takes longer is given up and made again. */
const TIMEOUT_MS = 60_000;

/** W&B's own page has another host than its interface; a server of one's own has one for both. */
const pageOf = (host: string): string => (host === 'https://api.wandb.ai' ? 'https://wandb.ai' : host);

function refused(status: number, host: string, waitMs: number | null): WandbError {
  if (status === 401)
    return new WandbError(`${host} does not take this key. Copy it anew from your settings there.`, false);
  if (status === 403)
    return new WandbError(`The key may not write to this project on ${host}. Check entity and project.`, false);
  if (status === 404) return new WandbError(`${host} knows no such entity or project. Check both names.`, false);
  if (status === 429) return new WandbError(`${host} asks for fewer requests`, true, waitMs);
  if (status >= 500 || status === 408)
    return new WandbError(`${host} has a fault of its own (${status})`, true, waitMs);
  return new WandbError(`${host} refused the request (${status}). Check host, entity and project.`, false);
}

export class WandbClient {
  readonly #settings: WandbSettings;

  constructor(settings: WandbSettings) {
    this.#settings = settings;
  }

  /**
   * Makes the run `name`, or finds it again, and says what it is made with.
   * @throws WandbError
   */
  async upsertRun(
    name: string,
    displayName: string,
    notes: string,
    config: Record<string, unknown>,
  ): Promise<WandbRun> {
    const { host, entity, project } = this.#settings;
    const described = Object.fromEntries(Object.entries(config).map(([key, value]) => [key, { value, desc: null }]));
    const variables = { name, project, entity: entity || null, displayName, notes, config: JSON.stringify(described) };
    const answer = (await this.#post('/graphql', { query: UPSERT, variables })) as UpsertAnswer;
    const bucket = answer.data?.upsertBucket?.bucket;
    if (!bucket) {
      const why = answer.errors?.map(({ message }) => message).join('; ') || 'it did not say why';
      throw new WandbError(`${host} made no run: ${why}. Check key, entity and project.`, false);
    }
    const owner = bucket.project.entity.name;
    const path = [owner, bucket.project.name, 'runs', bucket.name].map(encodeURIComponent).join('/');
    return {
      entity: owner,
      project: bucket.project.name,
      name: bucket.name,
      lines: bucket.historyLineCount ?? 0,
      url: `${pageOf(host)}/${path}`,
    };
  }

  /** @throws WandbError */
  async stream({ entity, project, name }: WandbRun, body: FileStreamBody): Promise<void> {
    const path = [entity, project, name].map(encodeURIComponent).join('/');
    await this.#post(`/files/${path}/file_stream`, body);
  }

  async #post(path: string, body: unknown): Promise<unknown> {
    const { host, key } = this.#settings;
    let response: Response;
    try {
      response = await fetch(host + path, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', Authorization: `Basic ${btoa(`api:${key}`)}` },
        body: JSON.stringify(body),
        credentials: 'omit',
        referrerPolicy: 'no-referrer',
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
    } catch {
      // A browser does not say which of them it was.
      throw new WandbError(`${host} cannot be reached, or does not let this page write to it`, true);
    }
    if (!response.ok) {
      const seconds = Number(response.headers.get('Retry-After') ?? Number.NaN);
      throw refused(response.status, host, Number.isFinite(seconds) ? 1000 * seconds : null);
    }
    return response.json().catch(() => ({}));
  }
}
