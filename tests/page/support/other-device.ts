/** Runs in a page before its scripts: the engine's answers about the GPU are changed on their way to the page. */

export interface OtherDevice {
  /** Put over what the engine says of its device. */
  info: object;
  /** Put over that once another tier was asked for. */
  afterSetTier: object;
}

declare global {
  interface Window {
    /** What the page asked of the engine about tiers. */
    tierRequests: unknown[];
  }
}

/** To be given to `addInitScript` with its argument. */
export function withOtherDevice({ info, afterSetTier }: OtherDevice): void {
  window.tierRequests = [];
  const Real = window.Worker;
  type Message = { type?: string; args?: unknown; result?: { maxBufferSize?: number }; event?: string; info?: object };
  let over = info;
  window.Worker = class extends Real {
    override postMessage(message: unknown): void {
      const { type, args } = message as Message;
      if (type === 'setTier' || type === 'checkTier') {
        window.tierRequests.push({ type, args });
        over = { ...over, ...afterSetTier };
      }
      super.postMessage(message);
    }
    override addEventListener(type: string, listener: (event: Event) => void): void {
      super.addEventListener(type, (event: Event) => {
        const data = (event as MessageEvent<Message>).data;
        // Only what describes a device has such a limit.
        if (data?.result?.maxBufferSize) Object.assign(data.result, over);
        if (data?.event === 'device') Object.assign(data.info!, over);
        listener(event);
      });
    }
  } as typeof Worker;
}
