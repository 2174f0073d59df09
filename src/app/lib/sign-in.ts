/** Signing in on the Hugging Face Hub: OAuth with PKCE. The Hub's library is fetched when it is wanted. */
import { HUB_CLIENT_ID, HUB_URL } from './site';

/** What a model's files are read with. */
const SCOPES = 'openid profile read-repos gated-repos';

export interface SignedIn {
  token: string;
  name: string;
  /** What `signIn` was given. */
  state: string;
}

const pageAddress = (): string => location.origin + location.pathname;

/** Leaves the page for the Hub, which sends the visitor back here. `state` comes back with them. */
export async function signIn(state = '', scopes = SCOPES): Promise<void> {
  const { oauthLoginUrl } = await import('@huggingface/hub');
  location.href = await oauthLoginUrl({
    clientId: HUB_CLIENT_ID,
    hubUrl: HUB_URL,
    redirectUrl: pageAddress(),
    scopes,
    state,
  });
}

/** Finishes a sign-in when the visitor has just come back from one; null otherwise. */
export async function finishSignIn(): Promise<SignedIn | null> {
  const answer = new URLSearchParams(location.search);
  if (!answer.has('state') || !(answer.has('code') || answer.has('error'))) return null;
  const redirectedUrl = location.href;
  // The code is good for one use, and the address is nobody else's business.
  history.replaceState(null, '', `${pageAddress()}#model`);
  const { oauthHandleRedirect } = await import('@huggingface/hub');
  try {
    const { accessToken, userInfo, state = '' } = await oauthHandleRedirect({ hubUrl: HUB_URL, redirectedUrl });
    return { token: accessToken, name: userInfo.preferred_username || userInfo.name, state };
  } catch (cause) {
    const message = `Signing in on the Hub did not work: ${(cause as Error).message}. Try again, or paste an access token.`;
    throw Object.assign(new Error(message, { cause }), { code: 'sign-in-failed' });
  }
}
