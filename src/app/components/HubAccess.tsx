/** The visitor's access to the Hub: a pasted token, or a sign-in. */
import { useId, useState } from 'react';
import { signIn } from '../lib/sign-in';
import { HUB_CLIENT_ID, HUB_URL } from '../lib/site';
import { forgetToken, keepToken, useAccount } from '../store/account';
import { reportError } from '../store/alerts';
import { useChooser } from '../store/chooser';
import { TokenField } from './TokenField';
import { Button, OutLink } from './ui';

function SignInHelp() {
  return (
    <div className="fine" role="status">
      <p>
        Signing in needs an OAuth application of whoever serves this page, and none is set here. To set it: create one
        on <OutLink href={`${HUB_URL}/settings/connected-applications`} /> with this page’s address as redirect and the
        scopes read-repos and gated-repos, and build with <code>VITE_HF_CLIENT_ID</code> set to its id. Until then, an
        access token does the same.
      </p>
    </div>
  );
}

function howKept(token: string, kept: boolean, name: string | null): string {
  if (!token) return 'no token yet';
  const whose = name ? `signed in as ${name}` : 'a token is set';
  return `${whose}, ${kept ? 'remembered in this browser' : 'kept until this page is closed'}`;
}

export function HubAccess() {
  const id = useId();
  const { token, kept, name } = useAccount();
  const { repo, revision } = useChooser();
  const wanted = useChooser(({ problem }) => problem !== null && /^hub-(?:no-access|bad-token)$/.test(problem.code));
  const [opened, setOpened] = useState(false);
  const [help, setHelp] = useState(false);
  const begin = () => {
    if (HUB_CLIENT_ID) signIn(revision.trim() ? `${repo.trim()}@${revision.trim()}` : repo.trim()).catch(reportError);
    else setHelp(!help);
  };
  return (
    <details className="hub-access" open={opened || wanted} onToggle={(event) => setOpened(event.currentTarget.open)}>
      <summary>
        Access to gated and private models <span className="muted">· {howKept(token, kept, name)}</span>
      </summary>
      <form className="hub-access-body" onSubmit={(event) => event.preventDefault()}>
        <div className="access-line">
          <TokenField id={`${id}token`} label="Access token" describedBy={`${id}about`} />
          <Button disabled={!token && !kept} onClick={forgetToken}>
            Forget
          </Button>
          <Button aria-expanded={HUB_CLIENT_ID ? undefined : help} onClick={begin}>
            Sign in with Hugging Face
          </Button>
        </div>
        <label>
          <input type="checkbox" checked={kept} onChange={(event) => keepToken(event.target.checked)} /> Remember in
          this browser
        </label>
        <p id={`${id}about`} className="fine">
          The token goes to {new URL(HUB_URL).host} and to no other host. It needs the right to read gated repositories;
          make one on <OutLink href={`${HUB_URL}/settings/tokens`} />.
        </p>
        {help && <SignInHelp />}
      </form>
    </details>
  );
}
