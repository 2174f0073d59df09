/** A model in a folder of the visitor's disk: picked, dropped, or opened before. */
import { useEffect, useState } from 'react';
import { canPickFolder, forgetFolder, knownFolders, listedFolder, pickFolder } from '../lib/folders';
import { reportError } from '../store/alerts';
import { lookAtFolder, useChooser } from '../store/chooser';
import { Glyph } from './icons';
import { SourcePreview } from './SourcePreview';
import { Button, FileButton, IconButton } from './ui';

function KnownFolders({ version }: { version: unknown }) {
  const [folders, setFolders] = useState<FileSystemDirectoryHandle[]>([]);
  const read = () => void knownFolders().then(setFolders);
  // biome-ignore lint/correctness/useExhaustiveDependencies: a newly opened folder is remembered as well.
  useEffect(read, [version]);
  if (folders.length === 0) return null;
  return (
    <section className="builtin" aria-labelledby="known-folders">
      <h2 id="known-folders" className="section-title">
        Opened before
      </h2>
      <ul>
        {folders.map((handle, place) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: folders in different places may have the same name.
          <li key={`${handle.name} ${place}`}>
            <span className="grow file-name">{handle.name}</span>
            <Button
              aria-label={`Open ${handle.name} again`}
              onClick={() => void lookAtFolder({ kind: 'folder', handle })}
            >
              Open again
            </Button>
            <IconButton
              icon="trash"
              label={`Forget ${handle.name}`}
              onClick={() => void forgetFolder(handle).then(read)}
            />
          </li>
        ))}
      </ul>
    </section>
  );
}

export function FolderModels() {
  const preview = useChooser((state) => state.preview);
  const [over, setOver] = useState(false);
  const pick = async () => {
    const source = await pickFolder();
    if (source) await lookAtFolder(source);
  };
  return (
    <>
      {/* biome-ignore lint/a11y/noStaticElementInteractions: dropping is a second way; the button is the first. */}
      <div
        className={over ? 'drop-zone over' : 'drop-zone'}
        onDragOver={() => setOver(true)}
        onDragLeave={() => setOver(false)}
        onDrop={() => setOver(false)}
      >
        <Glyph name="folder" className="big" />
        <div className="grow">
          <p>
            <strong>Drop a model’s folder anywhere on this page</strong>
          </p>
          <p className="fine">
            With config.json, tokenizer.json and model.safetensors (or shards with their index) in it. It is read where
            it lies and never copied; merged models of this studio can be opened so as well.
          </p>
        </div>
        <div className="actions">
          {canPickFolder() ? (
            <Button look="primary" icon="folder" onClick={() => void pick().catch(reportError)}>
              Choose a folder
            </Button>
          ) : (
            // Browsers that give no handles give the files.
            <FileButton
              folder
              label="Choose a folder"
              look="primary"
              icon="folder"
              onFiles={(files) => void lookAtFolder(listedFolder(files))}
            />
          )}
        </div>
      </div>
      <SourcePreview />
      <KnownFolders version={preview} />
    </>
  );
}
