import { useEffect, useId, useRef } from 'react';
import { useConfirm } from '../store/confirm';
import { Button } from './ui';

/** The one modal question of the page. Escape means no. */
export function ConfirmDialog() {
  const question = useConfirm((state) => state.question);
  const dialog = useRef<HTMLDialogElement>(null);
  const titleId = useId();
  const textId = useId();
  useEffect(() => {
    if (question && !dialog.current?.open) dialog.current?.showModal();
  }, [question]);
  if (!question) return null;
  return (
    <dialog
      ref={dialog}
      className="dialog"
      aria-labelledby={titleId}
      aria-describedby={textId}
      onCancel={(event) => {
        event.preventDefault();
        question.answer(false);
      }}
    >
      <h2 id={titleId}>{question.title}</h2>
      <p id={textId}>{question.text}</p>
      <div className="actions end">
        <Button onClick={() => question.answer(false)}>{question.cancel}</Button>
        <Button look="danger" onClick={() => question.answer(true)}>
          {question.confirm}
        </Button>
      </div>
    </dialog>
  );
}
