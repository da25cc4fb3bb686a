import assert from 'node:assert/strict';
import { createSecretKey } from 'node:crypto';
import { test } from 'node:test';

import { packBytes, valueAt } from '../../src/masking/column.js';
import { Siv, selfTest } from '../../src/masking/siv.js';

const hex = (text: string): Buffer => Buffer.from(text, 'hex');
const sivOf = (key: string, data: readonly string[]): Siv =>
  new Siv(createSecretKey(hex(key)), data.map(hex));
const sealOne = (siv: Siv, plain: string): string =>
  valueAt(siv.seal(packBytes([hex(plain)])), 0).toString('hex');
const openOne = (siv: Siv, sealed: string): string | null =>
  siv.open(packBytes([hex(sealed)]))[0]?.toString('hex') ?? null;

/** RFC 5297, appendix A. */
const rfc5297 = [
  {
    name: 'A.1',
    key: 'fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff',
    data: ['101112131415161718191a1b1c1d1e1f2021222324252627'],
    plain: '112233445566778899aabbccddee',
    sealed: '85632d07c6e8f37f950acd320a2ecc9340c02b9690c4dc04daef7f6afe5c',
  },
  {
    name: 'A.2',
    key: '7f7e7d7c7b7a79787776757473727170404142434445464748494a4b4c4d4e4f',
    data: [
      '00112233445566778899aabbccddeeffdeaddadadeaddadaffeeddccbbaa99887766554433221100',
      '102030405060708090a0',
      '09f911029d74e35bd84156c5635688c0',
    ],
    plain: '7468697320697320736f6d6520706c61696e7465787420746f20656e6372797074207573696e67205349562d414553',
    sealed:
      '7bdb6e3b432667eb06f4d14bff2fbd0fcb900f2fddbe404326601965c889bf17dba77ceb094fa663b7a3f748ba8af829ea64ad544a272e9c485b62a3fd5c0d',
  },
];

/**
 * Wycheproof (C2SP/wycheproof, Apache-2.0), testvectors_v1/aes_siv_cmac_test.json: all valid cases of 64-byte keys,
 * and some of shorter keys and of altered tags.
 */
const wycheproof = [
  {
    id: 2,
    valid: true,
    key: '2b27e429fb6c02678e589ccc4437c5adfb44b331ab6d21ea321727e6ec03d354',
    data: '',
    plain: '',
    sealed: 'b2b2354e3724dcdaa85ecf029b49a90c',
  },
  {
    id: 8,
    valid: true,
    key: '612e837843ceae7f61d49625faa7e7494f9253e20cb3adcea686512b043936cd',
    data: '865d39ae9b5e9ff8d6308e00208745bc',
    plain: 'cc37fae15f745a2f40e2c8b192f2b38d',
    sealed: 'c79c86cd7509e60a16ca8cec6bcaa1c58fbd6099718991fe775bf5a659d30a24',
  },
  {
    id: 26,
    valid: true,
    key: 'b3b7c2c6d3d80918218afcd8bf2a71cf0220e2e8084ead8ba1abfb893ae36d40',
    data: 'a5c2f6cf309f29c25f5ce35d',
    plain: 'dbcf98254157727c35f367fe6e15a2d089',
    sealed: '96bf5dd0c28dbd6072b70e2b5b72d3eb9f41adc6d5d877e808fbf15ed4117b5007',
  },
  {
    id: 30,
    valid: true,
    key: '83bc39bf7b5faaf0f9223ed2aa761ab32c04993e3fbccd34ee616ffd28ce5766',
    data: 'ed9ec561ecf5e289a1516c9f',
    plain:
      'f70ef1598f403902dcab4cc23bb1265f34e825b99abc61b26a22b9bbf478c3c1e61e67e98201bc564d022b87b4106aad0c4ca2d30e8927fba5b52a76971ef79a92a1eb6cf4ef87aea6b551567a2c4c41',
    sealed:
      'fafea55bba0680a510ce095d5c8a40a84a76071b8938dcfe99c8c73b049230ac52df7e09769852a6057353a7df7b8d18882ce5369c6bb855f271d88108719a1b5ea5765f549c282639c8bfacc34b5b10991b8fbdae2e42429fb7f0554e0e5611',
  },
  {
    id: 31,
    valid: true,
    key: '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f',
    data: '',
    plain: '1d7f9cc81b316c518efcd7927e8f7b88',
    sealed: '00000000000000000000000000000000f0dcac3115ddbd3d8ec28822e54088d0',
  },
  {
    id: 40,
    valid: true,
    key: '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f',
    data: '000102030405060708090a0b0c0d0e0f',
    plain: '5c64bdefc144112ef1296598b02a0ecb',
    sealed: 'fffffffffffffffffffffffffffffffe0e0640a1d03d4cde099a83c353f15470',
  },
  {
    id: 149,
    valid: true,
    key: 'd3d58a2f21e62f5095542e618168ef040922ab7d80b3840055eb9caf5726a8d4a7f071dc40ddb320effc094211735090',
    data: '',
    plain: '',
    sealed: '59e0a9a04cdb1d9d7bee6be8bb06fd61',
  },
  {
    id: 157,
    valid: true,
    key: '9eae72a3964bdf14adef8616aa5441577b7bbc324652516b4c29a7b0f3bfa719be49e3d2ae6297588ada652eb45b0a00',
    data: '999a35705530c2f6a7f2427d6b258836',
    plain: 'cd9bfe9821b1a5895737a827b41e0ee271ab2687128bb87f173709b73bf18c7c25822f32282895ca8935db00a1d171db',
    sealed:
      'd237a9dd9ea0f70ebc5526fd5e414f318c8a016bc6ecbcb3de5f0aff9330259e67b4984f13fb7e904ae8ac91d8e35faf41ad860bc9423d2ef596c13e15025cdf',
  },
  {
    id: 177,
    valid: true,
    key: '7e225cf2004a28a091986f131fd43ed111c0693e63433ffc9dad9029c535096397636e13296eb62143162643b13c7546',
    data: '01685c58b14805d636541179',
    plain:
      '81c8a10fcd668100dc762125e03627ac4e68d34c72568be438a7a068c27e2f12e2f17823e41fdd13e53616c622d4f320a38f97c2edead9800ed1091c303f10d172a284284d86708e53dedc82f6a7366b',
    sealed:
      'aa3d2cd732974b733597a369d47a680132dd5a944431231e6f77122d40ae70c5d032cc7d62208f428e6a931c7da6e88364d5ce1a4d9403436740b9e714a2c3b239febe6a6a7b42f78894442c912e6a9c22ea9548ef85540ca76d7c6df42b6534',
  },
  {
    id: 178,
    valid: true,
    key: '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f',
    data: '',
    plain: '05ae1ded78b927e7bf5560571e177760',
    sealed: '0000000000000000000000000000000081460aba44a680fc6c776c00a1e94b6b',
  },
  {
    id: 296,
    valid: true,
    key: 'bc7635c1fd566aa8357fd103714bfaee1c9e5b3c578b3980401a981030254a54b1756a8c96e600b7252fd0aab12f39d115d256b3f3e7c2c41a7fece72ba7c3c4',
    data: '',
    plain: '',
    sealed: '44b1c6fe8a8c07dee5377b161f283c31',
  },
  {
    id: 297,
    valid: true,
    key: 'aff6388fdd2908e0c3b610e3dcd410c8146a268d6befd5c45ffdd23508b5b311cc3a9d8f838f456436b289018682151dd57d8d65d1a823c06eca8ab8ee01da01',
    data: 'd0bb2949a411e22d32964526',
    plain: '',
    sealed: 'e288d802a0e56ed7544a2e5775459389',
  },
  {
    id: 298,
    valid: true,
    key: '484261ebf7e1fb66e0bcafe8f4ccf9c5accc908fdb23eb7c5254d614072f26e106b34501d13c1dad1f14648c6a142132dd7f2f1268dd6b70fbcde2fe98f03245',
    data: '1d5ce9288627a12f8f5d809167a3b2',
    plain: '',
    sealed: 'f8083e55307932d971bfc2a8913c1951',
  },
  {
    id: 299,
    valid: true,
    key: '0b6aaf05f9b5221e539940cd83cb29d2bcc7a0aa472d8fc67bedd0108869394e33c9f233d4b2cc9c6a59e8ce9cd268a0f3f2857e08fe1eb329ef347dace1557d',
    data: '76aade95964f074c693886f245fa57f9',
    plain: '',
    sealed: 'f1ad6ea998a2a438acaf90bad0cb9f9f',
  },
  {
    id: 300,
    valid: true,
    key: 'd47ab6d51f99f4249da56c93d1f09e856231f3fed777b303111ad31079270839e4bc4b5d8623162d4738d70803934a75f457fdbf4a277b828cb6e2753e88702a',
    data: '41257da6108bedbb150d4e290b6b9a76d11092c6',
    plain: '',
    sealed: 'a8d27944a84317098eed170631f4c867',
  },
  {
    id: 301,
    valid: true,
    key: 'eef6bcf16ef7ae17326a33f22d1406ec1bd3f866505f4b2e4fe8b45bd62ccbd85032a9899facf2db0c93a2345cb8892afb74db549781211dd8881a8c8e25c171',
    data: 'e941d15fadebaf4671e0e3d6d835f87bfb1cc7028f149930daa69c3de446c423',
    plain: '',
    sealed: 'b754ecb55c1e124de0c8a973d033bd7f',
  },
  {
    id: 302,
    valid: true,
    key: 'c25cafc6018b98dfbb79a40ec89c575a4f88c4116489bba27707479800c0130235334a45dbe8d8dae3da8dcb45bbe5dce031b0f68ded544fda7eca30d6749442',
    data: 'deeb0ccf3aef47a296ed1ca8f4ae5907',
    plain: 'beec61030fa3d670337196beade6aeaa',
    sealed: '5865208eab9163db85cab9f96d846234a2626aae22f5c17c9aad4b501f4416e4',
  },
  {
    id: 303,
    valid: true,
    key: '27faf97fb303aa4f2f364edd23997f4c77b8e51ebb8293c59dfb1d24f0fb629f6c820fc2d91bf48f0035eeec347e37ec4fb0cb36102bcdc5a248c47a2f97eab9',
    data: 'cc94f64e14df90265f7f12a8a0386d0a',
    plain: '6b1db0f5a43376885002dc98bd556f1dac9b66b66213a9fa6069df995a123384',
    sealed:
      'd0016d675b49f11ea873707412d45709b7703a028a0cfc312cf61cbe22b91e3cf20b7d4c9308ee15f18b4eba00889284',
  },
  {
    id: 304,
    valid: true,
    key: '97bfd0f3e9bb8167bbb55f4cdc14529d8307c0ec2c3fe8bc88522d05c1261ba460c9cb4116f630edd74d413ec417324c6e29b566fb2dd3df18e07b53b1f9f83b',
    data: '1cda342c166ea208df5c56bcf995a59b',
    plain: '48ef10ccb1978b53ae73167abe1cc538fa80da3f5df93e3d5c4e9a9ad1f213504f22a694b98a35ad67620af9d8a29fc7',
    sealed:
      'd55c5d0af0260dc1123adb5d7869201f8ccee46deb66dd695c593cde1d7645c72796e42a1733b6705753631b9b626991ddbd28473ce75cfdc4c14d20e66f212d',
  },
  {
    id: 305,
    valid: true,
    key: 'e2c5662bb18fbb411d0304e4241db073fe60a4704fee290073513038a22b4cd542580b2b4edbc37e3de01c0cb61abcad46986cdc491ce9e5ae5af223ff58b953',
    data: 'fab912dec29a34aabfaef176',
    plain: '0d',
    sealed: '1c6969ecb15741a9959b7a8492250e391a',
  },
  {
    id: 306,
    valid: true,
    key: '3ab062dbdd38b951a9fb0d8bb185959a93dab3496b850a3062b93003036c8bd2aabbf37d5d3f6a399d4cedefb70c1b8a7b45639fe118c10e39f36fa58618a84d',
    data: 'e8605f13db8c482d48bdba2d',
    plain: '5c6f',
    sealed: 'fddea9ac778b978a968033ce52ec61162588',
  },
  {
    id: 307,
    valid: true,
    key: '9e575cd8991b32f06fbaf55ad79eb74822349e07fa77c409848c86820011569f26dcb49afaea19a52a96b27e67f780ac7a00da9a3054d1678d60417cf34996b1',
    data: '7f89a3f648c1c7c23edbd5ca',
    plain: '35ac33',
    sealed: '3834fbedc3502227e3c91a861f2e3195fbb344',
  },
  {
    id: 308,
    valid: true,
    key: '6d43cfc930a1e0051f607d0c4a76ad5bec77d9f98bbd9ae5e56a1d65fcf1bf68c7780f727bfe690497bae478afbc4ebf7a89943ee146f72d352940794ff202f4',
    data: 'c2b75c998f4cac28b4b69dfb',
    plain: '1d25f833',
    sealed: '0d1e1981da44a7d9eda60e48e7ae4f8505d8ba98',
  },
  {
    id: 309,
    valid: true,
    key: '673cea582bf3982ce3fba5304de8fe46e316d6804749d6db58b7ab7d64bd4e0af641997975234f8b918cca3247d67cfeac9230d15ed28f8071a85e84fa9ef211',
    data: 'f5042d5a5b68b262274974a8',
    plain: '9e99912c7b',
    sealed: '655ef7f09f4cff47b427e9df7fcc642664715ad14c',
  },
  {
    id: 310,
    valid: true,
    key: '8f13f2bf02d72360d9958eb8aa90634ae48331e7dfdbf16fc51c7238ae9f9d50d4495d196676ef5259b64a616305ffaae517c587d4e7afba40e4a2c5b0989182',
    data: '755f50cfdfc849654ad98cc7',
    plain: 'ac598720b96e',
    sealed: 'adee2a373a7f6bbaf4f00e5f3f93435a09091b5221ae',
  },
  {
    id: 311,
    valid: true,
    key: '67b3ab00075a0e3d07f3fe73fabea5d0373206a0aafa9397981924ddaf2cb283c66af61166815dffbe8fafa688b793fd259fad4a1f75a259342e58814448a4b4',
    data: 'f8799bc732cbf6a39ae2268e',
    plain: '8f6b2b21a6dc73',
    sealed: 'ff6173a70dee05ddbde75a960f84523e01b30adcac5275',
  },
  {
    id: 312,
    valid: true,
    key: 'a661c6a90fd40d8a734873d66afd4477c5041cdc2b31a3cd0ac3604cac4f74411219e544615b56e17f5774b5085129f6dd69893bb7216b539cf42b79f0068278',
    data: '7a5dbdbf803b2593d3e17097',
    plain: 'deb2c7c6204496e5',
    sealed: '2f8b7583773ae03ba7b3952453c81431780bfcc9d7df9a43',
  },
  {
    id: 313,
    valid: true,
    key: 'a40b1cc110e1aa28ab86f714abd6d313016989a1c8cfcb62063e2c396ca12a246de3b9bd82994e5f1cb1323f78a9a0ed02fe841976a659423603d91ccf71d58e',
    data: 'e482e942ce26d244d4962acf',
    plain: '122d1ba394afad1fe3',
    sealed: '8185d14ee87cc891bb9bcf3fafde4ed246599626211fe04d23',
  },
  {
    id: 314,
    valid: true,
    key: '8af0e57998dd68b0f45b58e708405d0ad8269397249295fd336096e065db2bb1e4110d5507c04d73c150f6e7d87ced029ab38661f201ec77874e43953373b38a',
    data: '89f95250fb66b2cda70b8854',
    plain: '9cab7bde926307386505',
    sealed: 'c4deca5c53bcfa6208b337474212418541e44d0fbf2de7b48c6f',
  },
  {
    id: 315,
    valid: true,
    key: '6e063240d83d4a90e44e56e631fefe9f6c7c7d56518eff3a902ddd5ca9b837a2044b3727571d1ca56a68abfd997da945e4d14f71dc86b0149a19a93d1e5fec85',
    data: '5c3661f4047454bac445f1ac',
    plain: '08eb0a196e8f3cb6428b0a',
    sealed: '67673064fc540ae128232ba87ba2e9bbe7d3569dd419bcc52796ec',
  },
  {
    id: 316,
    valid: true,
    key: '9593f0d6679e8e18b43cb4d26a7ea9da9d6037fd5a82db0b091a682b6547a77298e4fd1d1481f3603d0b1e7e6dcf27200105af0f844f2aaacd98540ab2b6c8a8',
    data: '7b3f9591076e32a21766e2bb',
    plain: '0628d19cc94c4b4f3d703e1f',
    sealed: '56e6fd5a7f449a8e6bafa38f945c70cf8a534179b3b1f26266fb6b56',
  },
  {
    id: 317,
    valid: true,
    key: '77f7dd662a8f0aaf7f19c6614584e4acf5c774d19e10d2070eaa977e9c6ba21ba82f0bc84939cf70283dcac9c645b7423ca0cc94bac827ea378f1ca0c9da0eee',
    data: 'a3c4e387bfc005402acd20bb',
    plain: 'a171376f2a66dbdf17f32961e8',
    sealed: '4e7b642dcc3cbd935d4cda8193982ef7240fa47f951ec8b3fd37204a73',
  },
  {
    id: 318,
    valid: true,
    key: '8916d0342001561922e674b0cc51c05a935e5dc45a6d6284f34a4c5c79e92062dc3091217584607e9cf9056aa495ca4cd53fd3d4c6a94c4b384007e62174506b',
    data: '890dcea871da1caff4766d32',
    plain: '6ad348470891d1babb13f3bf0e8c',
    sealed: 'fbb68324b8c5b3e55ebc1feb4b98761521f4aac7eb7b6c0fb0505a08457b',
  },
  {
    id: 319,
    valid: true,
    key: '2a93a0c37797bee0c344b9ceed1a609813d8c5ee686d260f3aa6fc2f66dc59f400479d1dfe04e89e6df608a3f699ff1cb4e9bf24a78fb2dfddaa0011a2e40208',
    data: '6ae54f41ac52baf2f89abe8e',
    plain: '3fc3bf53bb485c9edcb1d25adb4ca0',
    sealed: '2d344a54038a857f47e0c77eb0834538aaf01e61a8ac82c0012f9dac6f15ef',
  },
  {
    id: 320,
    valid: true,
    key: '139383f3f82dc78e0b380027f9e5fcd2ed23716404be5c554452e4dc73d237026594491820c6b8297185cc1fa84f49a5c7d7cd05c5de090ff1c3397bc2740437',
    data: 'd39da73ffc03ad0a9213ffc7',
    plain: '48604944a80fadf50d55b87727934458c8',
    sealed: 'a9cf73951cb39823777f35c96c845169476e2ec2317cb6b8dd8b6172fdceabff9d',
  },
  {
    id: 321,
    valid: true,
    key: 'eac96a89b8e0c928a85c91396346efe8287730595064554cd13574f8b340f541c5f0bb55e654e51b05e21ba007942cabab5ee1020922f0dd002196a39d7fda1d',
    data: '29d614f908593f6a5ab03cea',
    plain: '0c22e4875dcd23de89a6d32f2082dd40e1848fc2',
    sealed: 'bce886623d11320d22dfdc1defb04d17bd001d9370a3d8c83aabe4494d16ca75ce534f7c',
  },
  {
    id: 322,
    valid: true,
    key: 'c0f4bede68c6ed5ad14918e2ddeced692dfd5419c04204d5b96f4ca47078b07028c6fb87b1b490d875f070bbe4d790f65e5df19947f02c9d3a4e493b542d0291',
    data: 'b411e4d2facca67ea4a9f2a1',
    plain: '2f358d4534559ac99dd71798b7925705d6f013f6b848ffe01cc86cef09d88f',
    sealed: 'd27ae26dfe02e3eedf544e1b452cb0f0c9303a4e4819318315ae08839bcce558e4741817ec08dae406bbfc09f59aa9',
  },
  {
    id: 323,
    valid: true,
    key: 'cd8689f821817f59bfaa755131f2565161c7f4489f89b657ac9fa127a9768535a702d001b9b99cc11c3976467b1b45865ff417dc256ebb5079b7f1b3e08307b5',
    data: 'b3edffbb89b373fe04da244b',
    plain: 'ebcfb2ffb681cc5dfa0c5c524c1b1cc87cc6b2bfa35dc36d15e80505118b84a072a78a157b4d1837',
    sealed:
      '1ac78aae2ede04eb47924d8f9f99fe75deb61bf693da7f3a2147c05f6d29d17392356fe00f82b24cdbce774fd864561548f33dd3192d806f',
  },
  {
    id: 324,
    valid: true,
    key: '72a76714e0171e8213de624f00e273bc900050e69d25c454cc42b61e8b3fbc92d4942e1ae14421e164046c1479a7b9c9f4b50b382cb62dfeaa210b98dec7d937',
    data: '6a8aaf2c84003e0e6f409658',
    plain:
      '92d8f4dc7d41e8b180d66e8994022db79249cdc76fd7f3ea12d9925b51925250cd75a15fcfd78ea85c57fe6196f8d7545086f99ea796a0ea69170db9944200435d9d3d551943892400ce787f703c1105',
    sealed:
      '69f720f36b0da86ec8cc0f46d62835dcb35ac23f5b891152d861c4e0f0018f19d272ee8b12d83300bfd46aeec0124d5d23b3cb849c1cab1fdf64b70947ebf79f5442e209076dfa9a3f36ab0a6d3cf4a75ddfcdc21837743b20885db4c803ac27',
  },
  {
    id: 325,
    valid: true,
    key: '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f',
    data: '',
    plain: '8dbfee9580e7e2bc66100a674497f4e1',
    sealed: '000000000000000000000000000000007ef8aa7e4dd49d9cfa09e9cb574fd90d',
  },
  {
    id: 326,
    valid: true,
    key: '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f',
    data: '000102030405060708090a0b0c0d0e0f',
    plain: 'bfa1733d07afa03cb3f2eeb81bbde037',
    sealed: '000000000000000000000000000000004ce637d6ca9cdf1c2feb0d140865cddb',
  },
  {
    id: 327,
    valid: true,
    key: '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f',
    data: '',
    plain: '72543a9a07a3c18a280060653432c05c',
    sealed: 'ffffffffffffffffffffffffffffffff3db09cc48f2780859351901d1014ae06',
  },
  {
    id: 328,
    valid: true,
    key: '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f',
    data: '000102030405060708090a0b0c0d0e0f',
    plain: '404aa73280eb830afde284ba6b18d48a',
    sealed: 'ffffffffffffffffffffffffffffffff0fae016c086fc20546b374c24f3ebad0',
  },
  {
    id: 329,
    valid: true,
    key: '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f',
    data: '',
    plain: 'ff4d7cdeb8f3c4e37a05a91ee26e2a84',
    sealed: 'ffffffffffffffffffffffff7fffffffb0a9da80307785ecc1545966c64844de',
  },
  {
    id: 330,
    valid: true,
    key: '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f',
    data: '000102030405060708090a0b0c0d0e0f',
    plain: 'cd53e1763fbb8663afe74dc1bd443e52',
    sealed: 'ffffffffffffffffffffffff7fffffff82b74728b73fc76c14b6bdb999625008',
  },
  {
    id: 331,
    valid: true,
    key: '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f',
    data: '',
    plain: '6eb52fc95a5185a3bd2a30d3058414ab',
    sealed: 'ffffffffffffffff7fffffffffffffff21518997d2d5c4ac067bc0ab21a27af1',
  },
  {
    id: 332,
    valid: true,
    key: '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f',
    data: '000102030405060708090a0b0c0d0e0f',
    plain: '5cabb261dd19c72368c8d40c5aae007d',
    sealed: 'ffffffffffffffff7fffffffffffffff134f143f559d862cd39924747e886e27',
  },
  {
    id: 333,
    valid: true,
    key: '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f',
    data: '',
    plain: '114cc36e58faceb2e6a2344a679ea4c3',
    sealed: 'fffffffffffffffffffffffffffffffe2f849650d6e89e2668e990219195719c',
  },
  {
    id: 334,
    valid: true,
    key: '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f',
    data: '000102030405060708090a0b0c0d0e0f',
    plain: '23525ec6dfb28c323340d09538b4b015',
    sealed: 'fffffffffffffffffffffffffffffffe1d9a0bf851a0dca6bd0b74fecebf654a',
  },
  {
    id: 380,
    valid: false,
    key: '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f',
    data: '',
    plain: '3031323334353637',
    sealed: '212e4a8f8b4c66788f3af330fb1c3ada5ead70c7f066d4df',
  },
  {
    id: 400,
    valid: false,
    key: '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f',
    data: '',
    plain: '3031323334353637',
    sealed: '212e4a8f8b4c66788f3af230fb1c3ad85ead70c7f066d4df',
  },
  {
    id: 410,
    valid: false,
    key: '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f',
    data: '',
    plain: '303132333435363738393a3b3c3d3e3f40414243',
    sealed: '305d6cf8eeb36a37849710e7d1f729c0adfd10a7615d6515b999dbfc5a10f3ae9df5f19a',
  },
  {
    id: 442,
    valid: false,
    key: '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f',
    data: '',
    plain: '303132333435363738393a3b3c3d3e3f40414243',
    sealed: '315c6df9efb26b36859611e6d0f62841adfd10a7615d6515b999dbfc5a10f3ae9df5f19a',
  },
];

test('the examples of RFC 5297 come out to the byte, and open again', () => {
  for (const { name, key, data, plain, sealed } of rfc5297) {
    assert.equal(sealOne(sivOf(key, data), plain), sealed, name);
    assert.equal(openOne(sivOf(key, data), sealed), plain, name);
  }
});

test('the valid cases of Wycheproof come out to the byte, the others are refused', () => {
  for (const { id, valid, key, data, plain, sealed } of wycheproof) {
    const siv = sivOf(key, [data]);
    assert.equal(openOne(siv, sealed), valid ? plain : null, `case ${id}`);
    assert.equal(sealOne(siv, plain) === sealed, valid, `case ${id}`);
  }
});

test('the self-test passes on this Node', () => {
  selfTest();
});

test('values of a column do not touch each other, whatever their lengths and order', () => {
  const siv = sivOf('ab'.repeat(64), ['00']);
  const values = [0, 47, 1, 16, 15, 33, 16, 200, 17, 0, 32].map((length, i) => Buffer.alloc(length, i));
  const sealed = siv.seal(packBytes(values));
  for (const [i, value] of values.entries()) {
    assert.equal(valueAt(sealed, i).toString('hex'), sealOne(siv, value.toString('hex')), `value ${i}`);
  }
  assert.deepEqual(siv.open(sealed), values);
  assert.equal(siv.seal(packBytes([])).bytes.length, 0);
  assert.deepEqual(siv.open(packBytes([])), []);
});

test('a value altered in any bit, or shortened, is refused, and its neighbours still open', () => {
  const siv = sivOf('cd'.repeat(64), ['01']);
  const plain = Buffer.from('593-47-5928 and more than a block');
  const sealed = valueAt(siv.seal(packBytes([plain])), 0);
  const altered = Array.from({ length: sealed.length * 8 }, (_, bit) => {
    const copy = Buffer.from(sealed);
    copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    return copy;
  });
  const shorter = Array.from({ length: sealed.length }, (_, length) => sealed.subarray(0, length));
  const opened = siv.open(packBytes([sealed, ...altered, ...shorter, sealed]));
  assert.deepEqual(opened[0], plain);
  assert.deepEqual(opened.at(-1), plain);
  assert.equal(opened.filter((value) => value !== null).length, 2);
});
