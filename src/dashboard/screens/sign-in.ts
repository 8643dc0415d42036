import { type Html, html } from '../html.js';
import { code } from './overview.js';

export interface SignInScreen {
  /** Where the form goes. */
  action: string;
  /** Where a platform's sign-in begins; absent where there is none. */
  platform?: string | undefined;
  /** The command that makes a link. */
  command: string;
}

/** What a stranger sees, whether or not there is anything at the address. */
export function signInScreen({ action, platform, command }: SignInScreen): Html {
  return html`<section class="card narrow" aria-labelledby="sign-in"><h1 id="sign-in">Sign in</h1>
<p>This is the dashboard of an etcd service instance.</p>
${
  platform !== undefined &&
  html`<p><a class="button primary" href="${platform}">Sign in with Cloud Foundry</a></p><p class="hint">Space developers of the instance's space may enter.</p><h2>With a link</h2>`
}
<form method="post" action="${action}" data-link>
<label for="link">One-time code</label>
<div class="inline"><input id="link" name="link" required autocomplete="off" spellcheck="false" maxlength="100"><button class="primary">Sign in</button></div>
<p class="hint">It is the part behind <code>#link=</code> of an address that the operator of the service broker makes with this command. It is good once, for ten minutes.</p>
</form>
${code(command)}
</section>`;
}
