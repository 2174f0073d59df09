import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { watchUi } from '../app/store/ui';
import { BenchPage } from './BenchPage';
import { openBench } from './store';

watchUi();
openBench();
createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <BenchPage />
  </StrictMode>,
);
