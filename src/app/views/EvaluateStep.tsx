/** Before and after, in numbers: benchmarks and held-out pairs with the base model beside the tuned one. */
import { EvaluateItems } from '../components/EvaluateItems';
import { EvaluateTable } from '../components/EvaluateTable';
import { EvaluateTasks } from '../components/EvaluateTasks';
import { ViewHead } from '../components/ViewHead';
import { useEvaluation } from '../store/evaluation';
import { hasAdapter, useRun } from '../store/run';

export function EvaluateStep() {
  const tuned = useRun(hasAdapter);
  const working = useEvaluation((state) => state.progress !== null);
  return (
    <div className="view">
      <div className="view-main">
        <ViewHead
          title="Evaluate"
          note={
            tuned
              ? 'What the run changed, in numbers: the base model beside the tuned one, as lm-evaluation-harness counts.'
              : 'Benchmarks as lm-evaluation-harness counts them. After a run the tuned model stands beside the base.'
          }
        />
        <EvaluateTasks />
        <EvaluateTable />
        {!working && <EvaluateItems />}
      </div>
    </div>
  );
}
