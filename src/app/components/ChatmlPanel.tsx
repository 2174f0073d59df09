import type { ChatmlTokenSource, ModelSummary } from '../../worker/protocol';
import { reloadModel, useModels } from '../store/models';
import { Button } from './ui';

const ABOUT: Record<ChatmlTokenSource, string> = {
  reserved: 'Two reserved tokens of this model were given the marks’ names. No weights were added.',
  add: 'Two tokens were added, each with a row in embedding and head that begins as the mean of the others.',
};

/** What ChatML needs of a model that does not know its marks: tokens, and BOS, EOS and padding that go with them. */
export function ChatmlPanel({ model, disabled }: { model: ModelSummary; disabled: boolean }) {
  const loading = useModels((state) => state.loadingId !== null);
  const open = (how?: ChatmlTokenSource) => void reloadModel(how);
  if (model.chatml) {
    return (
      <div className="chatml" role="status">
        <p className="fine">
          <span className="good-text">This model knows ChatML now.</span> {ABOUT[model.chatml]} BOS is
          &lt;|im_start|&gt;, EOS and padding are &lt;|im_end|&gt;; the merged model keeps all of it.
        </p>
        <Button disabled={disabled || loading} onClick={() => open()}>
          Take it back
        </Button>
      </div>
    );
  }
  if (model.chatmlSupport === 'known') return null;
  return (
    <div className="chatml">
      <p className="fine">
        <span className="warn-text">&lt;|im_start|&gt; and &lt;|im_end|&gt; are no tokens of this model</span>, so they
        would be trained as plain letters. As TRL’s setup_chat_format does, the model can be opened anew with them.
      </p>
      <div className="actions">
        {model.chatmlSupport === 'reserved' && (
          <Button look="primary" disabled={disabled || loading} onClick={() => open('reserved')}>
            Use two reserved tokens
          </Button>
        )}
        <Button
          look={model.chatmlSupport === 'reserved' ? 'plain' : 'primary'}
          disabled={disabled || loading}
          onClick={() => open('add')}
        >
          Add two tokens
        </Button>
      </div>
    </div>
  );
}
