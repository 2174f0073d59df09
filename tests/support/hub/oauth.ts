/** Sign-in as the Hub does it: OAuth with PKCE. The visitor of these tests always agrees. */
import { createHash } from 'node:crypto';
import { head, json, refuse } from './answer';
import type { Route } from './server';

/** What the sign-in gives to whoever finishes it. */
export const SIGNED_IN_TOKEN = 'hf_signed_in';

async function formOf(request: AsyncIterable<Uint8Array>): Promise<URLSearchParams> {
  const parts: Uint8Array[] = [];
  for await (const part of request) parts.push(part);
  return new URLSearchParams(Buffer.concat(parts).toString());
}

export function oauthRoutes(): Route[] {
  /** Challenges by code that was given out. */
  const codes = new Map<string, string>();
  return [
    {
      method: 'GET',
      path: /^\/\.well-known\/openid-configuration$/u,
      answer: (exchange, _, hub) =>
        json(exchange, {
          authorization_endpoint: `${hub.url}/oauth/authorize`,
          token_endpoint: `${hub.url}/oauth/token`,
          userinfo_endpoint: `${hub.url}/oauth/userinfo`,
        }),
    },
    {
      method: 'GET',
      path: /^\/oauth\/authorize$/u,
      answer(exchange) {
        const { searchParams } = exchange.url;
        const code = `code-${codes.size + 1}`;
        codes.set(code, searchParams.get('code_challenge') ?? '');
        const back = new URL(searchParams.get('redirect_uri')!);
        back.searchParams.set('code', code);
        back.searchParams.set('state', searchParams.get('state') ?? '');
        head(exchange, 302, { Location: back.href });
        exchange.response.end();
      },
    },
    {
      method: 'POST',
      path: /^\/oauth\/token$/u,
      async answer(exchange) {
        const form = await formOf(exchange.request);
        const challenge = createHash('sha256')
          .update(form.get('code_verifier') ?? '')
          .digest('base64url');
        const code = form.get('code') ?? '';
        if (codes.get(code) !== challenge) return refuse(exchange, 400, undefined, 'invalid_grant');
        codes.delete(code);
        json(exchange, { access_token: SIGNED_IN_TOKEN, expires_in: 3600, scope: 'openid', token_type: 'Bearer' });
      },
    },
    {
      method: 'GET',
      path: /^\/oauth\/userinfo$/u,
      answer: (exchange) => json(exchange, { sub: '1', name: 'A Person', preferred_username: 'a-person' }),
    },
  ];
}
