// Prose: addresses, numbers of five digits and more, and some words become a word in brackets.
import { defineMasker } from 'maskline';
import { isWords, patternOf } from './words.js';

const ADDRESS = /[^\s@]{1,64}@[^\s@]{1,253}/g;
const NUMBER = /\+?[0-9](?:[ ./-]?[0-9]){4,}/g;

export default defineMasker({
  // Line breaks are part of what people write.
  input: 'as_sent',
  check: ({ options }) => {
    if (!isWords(options['words'])) throw new TypeError('options.words must be a list of words');
  },
  mask: (value, { options }) => {
    const masked = value.replace(ADDRESS, '[address]').replace(NUMBER, '[number]');
    return isWords(options['words']) ? masked.replace(patternOf(options['words']), '[word]') : masked;
  },
});
