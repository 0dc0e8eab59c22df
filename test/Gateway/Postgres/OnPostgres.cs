// What moves units, keys and nodes, once more, and the slow run has the whole project: StateEngine looks at the names of these classes.
using ConfidentialChat.Gateway.Tests.Metering;

namespace ConfidentialChat.Gateway.Tests.Postgres;

public sealed class LedgerTestsOnPostgres : LedgerTests;

public sealed class MeteringTestsOnPostgres : MeteringTests;

public sealed class VoucherTestsOnPostgres : VoucherTests;

public sealed class EnrolmentTestsOnPostgres : EnrolmentTests;

public sealed class LockTestsOnPostgres : LockTests;

public sealed class SealedRelayTestsOnPostgres : SealedRelayTests;

public sealed class MoneyTestsOnPostgres : MoneyTests;

public sealed class AdministrationTestsOnPostgres : AdministrationTests;
