/** One question at a time, answered yes or no. */
import { create } from 'zustand';

export interface Question {
  title: string;
  text: string;
  confirm: string;
  cancel: string;
}

interface ConfirmState {
  question: (Question & { answer(yes: boolean): void }) | null;
}

export const useConfirm = create<ConfirmState>(() => ({ question: null }));

export function askConfirm(question: Question): Promise<boolean> {
  useConfirm.getState().question?.answer(false);
  return new Promise((resolve) => {
    const answer = (yes: boolean) => {
      useConfirm.setState({ question: null });
      resolve(yes);
    };
    useConfirm.setState({ question: { ...question, answer } });
  });
}
