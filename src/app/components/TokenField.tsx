import { setToken, useAccount } from '../store/account';

/** The visitor's Hub token, one for the whole page: label and field, for forms that lay both out in a row or a grid. */
export function TokenField({ id, label, describedBy }: { id: string; label: string; describedBy: string }) {
  const token = useAccount((state) => state.token);
  return (
    <>
      <label htmlFor={id}>{label}</label>
      <input
        id={id}
        type="password"
        autoComplete="off"
        placeholder="hf_…"
        value={token}
        aria-describedby={describedBy}
        onChange={(event) => setToken(event.target.value)}
      />
    </>
  );
}
