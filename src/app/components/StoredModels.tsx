import { useChooser } from '../store/chooser';
import { useModels } from '../store/models';
import { ModelCard } from './ModelCard';

/** Models from elsewhere that are in this browser's storage, wholly or in part. */
export function StoredModels({ kind }: { kind: 'hub' | 'url' }) {
  const offers = useModels((state) => state.offers);
  const preview = useChooser((state) => state.preview);
  // What is being chosen is shown by its own card.
  const stored = offers.filter(({ source, id }) => source.kind === kind && id !== preview?.id);
  if (stored.length === 0) return null;
  return (
    <section aria-labelledby={`stored-${kind}`}>
      <h2 id={`stored-${kind}`} className="section-title">
        In this browser
      </h2>
      <ul className="cards">
        {stored.map((offer) => (
          <li key={offer.id}>
            <ModelCard offer={offer} />
          </li>
        ))}
      </ul>
    </section>
  );
}
