/** Tasks recorded in tests/goldens/eval. */
export const GOLDENS = [
  'agieval_sat-math',
  'arc_easy',
  'blimp_anaphor_number_agreement',
  'copa',
  'openbook_qa',
  'piqa',
  'winogrande',
];
