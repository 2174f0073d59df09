/** What whoever serves the page has said of it, in the head of index.html. */

const said = (name: string): string =>
  globalThis.document?.querySelector<HTMLMetaElement>(`meta[name="${name}"]`)?.content.trim() ?? '';

/** Address of the Hugging Face Hub, without a slash at the end. */
export const HUB_URL = (said('hub-url') || 'https://huggingface.co').replace(/\/$/u, '');

/** The id of this page's OAuth application on the Hub; empty when there is none. */
export const HUB_CLIENT_ID = said('hub-client-id');
