import { useData } from '../store/data';
import { Badge } from './ui';

const ROWS = 5;

/** The first pairs of a file, while the rest of it is still being read. */
export function PreviewCard() {
  const { preview, reading } = useData();
  if (!preview || !reading) return null;
  return (
    <section className="card preview" aria-label="First pairs">
      <p>
        The first pairs of <strong>{preview.name}</strong>, read as <Badge>{preview.schema}</Badge>
      </p>
      <table>
        <thead>
          <tr>
            <th scope="col">Prompt</th>
            <th scope="col">Chosen</th>
            <th scope="col">Rejected</th>
          </tr>
        </thead>
        <tbody>
          {preview.pairs.slice(0, ROWS).map((pair) => (
            <tr key={pair.index}>
              <td dir="auto">{pair.prompt}</td>
              <td dir="auto">{pair.chosen}</td>
              <td dir="auto">{pair.rejected}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
