/** Files may be dropped anywhere on the page. While some are held over it, two targets show. */
import { useEffect, useState } from 'react';
import { kindOfDrop } from '../lib/dropped';
import { droppedFolder } from '../lib/folders';
import { takeAdapter } from '../store/adapter';
import { reportError } from '../store/alerts';
import { lookAtFolder } from '../store/chooser';
import { loadFiles, type Role } from '../store/data';
import { openRunFile } from '../store/run-shelf';
import { goTo } from '../store/ui';
import { Glyph } from './icons';

const hasFiles = (event: DragEvent): boolean => event.dataTransfer?.types.includes('Files') ?? false;
const roleAt = (event: DragEvent): Role =>
  event.target instanceof Element && event.target.closest('[data-drop="eval"]') ? 'eval' : 'train';

export function DropTarget() {
  const [over, setOver] = useState<Role | null>(null);
  useEffect(() => {
    const move = (event: DragEvent) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      setOver(roleAt(event));
    };
    const leave = (event: DragEvent) => {
      if (event.relatedTarget === null) setOver(null);
    };
    const drop = (event: DragEvent) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      setOver(null);
      const folder = event.dataTransfer ? droppedFolder(event.dataTransfer.items) : null;
      if (folder) {
        goTo('model');
        folder.then((source) => source && lookAtFolder(source)).catch(reportError);
        return;
      }
      const files = [...(event.dataTransfer?.files ?? [])];
      if (files.length === 0) return;
      const role = roleAt(event);
      void kindOfDrop(files).then(async (kind) => {
        if (kind === 'run') return openRunFile(files[0]);
        if (kind === 'adapter') return takeAdapter(files);
        goTo('data');
        await loadFiles(role, files);
      });
    };
    addEventListener('dragenter', move);
    addEventListener('dragover', move);
    addEventListener('dragleave', leave);
    addEventListener('drop', drop);
    return () => {
      removeEventListener('dragenter', move);
      removeEventListener('dragover', move);
      removeEventListener('dragleave', leave);
      removeEventListener('drop', drop);
    };
  }, []);
  if (!over) return null;
  return (
    <div className="drop-overlay" aria-hidden="true">
      <div className={over === 'train' ? 'drop-half over' : 'drop-half'} data-drop="train">
        <Glyph name="upload" className="drop-icon" />
        <strong>Training pairs</strong>
        <span>drop here to train on this file</span>
      </div>
      <div className={over === 'eval' ? 'drop-half small over' : 'drop-half small'} data-drop="eval">
        <Glyph name="upload" className="drop-icon" />
        <strong>Held-out pairs</strong>
        <span>drop here to evaluate on it</span>
      </div>
    </div>
  );
}
