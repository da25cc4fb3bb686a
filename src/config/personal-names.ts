// Whole words that give personal data away wherever they stand in a name.
const TELLING_WORDS = new Set(
  'ip ipv4 ipv6 email mail phone telephone mobile msisdn ssn passport iban dob birthday birthdate surname imei imsi idfa gaid latitude longitude'.split(
    ' ',
  ),
);

// Names that do so only as a whole: `name` is personal, `app_name` is not.
const TELLING_NAMES = new Set(
  'name first_name last_name full_name middle_name given_name family_name user_name username nickname device_id advertising_id mac mac_address address street postcode zip_code birth_date date_of_birth card_number credit_card gender lat lon lng'.split(
    ' ',
  ),
);

/** Whether a field is named like personal data. A guess, for warnings only. */
export function looksPersonal(field: string): boolean {
  const words = field
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter((word) => word !== '');
  return TELLING_NAMES.has(words.join('_')) || words.some((word) => TELLING_WORDS.has(word));
}
