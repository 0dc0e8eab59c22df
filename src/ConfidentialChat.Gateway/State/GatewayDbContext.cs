using System.Text;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Design;
using Microsoft.EntityFrameworkCore.Metadata.Conventions;
using Microsoft.EntityFrameworkCore.Storage.ValueConversion;

namespace ConfidentialChat.Gateway.State;

/// <summary>The gateway's tables. A database engine is a derived context with migrations of its own; the schema is this one.</summary>
internal abstract class GatewayDbContext(DbContextOptions options) : DbContext(options)
{
    private const string LedgerKinds =
        "kind = 'correction' OR (kind IN ('deposit', 'refund') AND amount >= 0) OR (kind IN ('purchase', 'settlement') AND amount <= 0)";

    public DbSet<UserRow> Users => Set<UserRow>();

    public DbSet<ApiKeyRow> ApiKeys => Set<ApiKeyRow>();

    public DbSet<EnrolmentTokenRow> EnrolmentTokens => Set<EnrolmentTokenRow>();

    public DbSet<NodeRow> Nodes => Set<NodeRow>();

    public DbSet<NodeModelRow> NodeModels => Set<NodeModelRow>();

    public DbSet<NodeKeySetRow> NodeKeySets => Set<NodeKeySetRow>();

    public DbSet<NodeSigningKeyRow> NodeSigningKeys => Set<NodeSigningKeyRow>();

    public DbSet<StackRow> Stacks => Set<StackRow>();

    public DbSet<LockRow> Locks => Set<LockRow>();

    public DbSet<ReservationRow> Reservations => Set<ReservationRow>();

    public DbSet<SettlementRow> Settlements => Set<SettlementRow>();

    public DbSet<VoucherRow> Vouchers => Set<VoucherRow>();

    public DbSet<PriceRow> Prices => Set<PriceRow>();

    public DbSet<LedgerRow> Ledger => Set<LedgerRow>();

    public DbSet<AuditRow> Audit => Set<AuditRow>();

    // Integers compare and sort alike on every engine; texts of times do not.
    protected override void ConfigureConventions(ModelConfigurationBuilder configurationBuilder)
    {
        configurationBuilder.Properties<DateTimeOffset>().HaveConversion<UnixMilliseconds>();
        configurationBuilder.Conventions.Remove<ForeignKeyIndexConvention>(); // owners are never deleted, and every request would pay for their indexes
    }

    protected override void OnModelCreating(ModelBuilder modelBuilder)
    {
        modelBuilder.Entity<UserRow>(user =>
        {
            user.HasIndex(row => row.Name).IsUnique();
            user.Property(row => row.Balance).HasDefaultValue(0L);
            user.Property(row => row.Held).HasDefaultValue(0L);
            user.Property(row => row.Carry).HasDefaultValue(0L);

            // spec/gateway.md section 10: the last line behind the conditional updates.
            user.ToTable(table => table.HasCheckConstraint(
                "user_bounds", "0 <= held AND held <= balance AND balance <= 9007199254740991 AND 0 <= carry AND carry < 1000000"));
        });
        modelBuilder.Entity<ApiKeyRow>(key =>
        {
            key.HasIndex(row => row.Prefix).IsUnique();
            key.Property(row => row.Scopes).HasDefaultValue("inference");
            key.HasOne(row => row.User).WithMany().HasForeignKey(row => row.UserId).OnDelete(DeleteBehavior.Restrict);
        });
        modelBuilder.Entity<EnrolmentTokenRow>(token => token.HasIndex(row => row.Prefix).IsUnique());
        modelBuilder.Entity<NodeRow>(node => node.HasIndex(row => row.IdentityKey).IsUnique());
        modelBuilder.Entity<NodeModelRow>(model =>
        {
            model.HasKey(row => new { row.Model, row.NodeId });
            BelongsTo<NodeModelRow, NodeRow>(model, nameof(NodeModelRow.NodeId));
        });
        modelBuilder.Entity<NodeKeySetRow>(keys =>
        {
            keys.HasKey(row => new { row.NodeId, row.Digest });
            BelongsTo<NodeKeySetRow, NodeRow>(keys, nameof(NodeKeySetRow.NodeId));
        });
        modelBuilder.Entity<NodeSigningKeyRow>(signing =>
        {
            signing.HasKey(row => new { row.NodeId, row.Digest });
            BelongsTo<NodeSigningKeyRow, NodeRow>(signing, nameof(NodeSigningKeyRow.NodeId));
        });
        modelBuilder.Entity<StackRow>(stack =>
        {
            stack.HasIndex(row => new { row.UserId, row.NodeId, row.Model }).IsUnique().HasFilter("price_id IS NULL");
            stack.HasIndex(row => new { row.UserId, row.NodeId, row.Model, row.PriceId }).IsUnique().HasFilter("price_id IS NOT NULL");
            stack.HasIndex(row => row.NodeId).HasFilter("price_id IS NOT NULL"); // what is refunded when it is removed
            BelongsTo<StackRow, PriceRow>(stack, nameof(StackRow.PriceId));
            stack.HasIndex(row => row.Model); // whether anybody holds one of it
            BelongsTo<StackRow, UserRow>(stack, nameof(StackRow.UserId));
            BelongsTo<StackRow, NodeRow>(stack, nameof(StackRow.NodeId));

            // spec/gateway.md section 5: the last line behind the conditional updates.
            stack.ToTable(table => table.HasCheckConstraint("stack_bounds", "used >= 0 AND reserved >= 0 AND used + reserved <= total"));
        });
        modelBuilder.Entity<LockRow>(held =>
        {
            // What is spent stays as a record, and no index of what is open has to carry it.
            held.HasIndex(row => new { row.StackId, row.KeySet }).HasFilter("state IN ('open', 'returned')");
            held.HasIndex(row => row.ExpiresAt, "IX_locks_open").HasFilter("state IN ('open', 'returned')");
            held.HasIndex(row => row.ExpiresAt, "IX_locks_expired").HasFilter("state = 'expired'");
            BelongsTo<LockRow, StackRow>(held, nameof(LockRow.StackId));
            held.ToTable(table => table.HasCheckConstraint("lock_state", "state IN ('open', 'claimed', 'spent', 'returned', 'expired')"));
        });
        modelBuilder.Entity<ReservationRow>(reservation =>
        {
            reservation.HasKey(row => row.RequestId);
            reservation.HasIndex(row => row.DeadlineAt).HasFilter("state = 'held'");
            BelongsTo<ReservationRow, UserRow>(reservation, nameof(ReservationRow.UserId));
            BelongsTo<ReservationRow, NodeRow>(reservation, nameof(ReservationRow.NodeId));
            BelongsTo<ReservationRow, StackRow>(reservation, nameof(ReservationRow.StackId));
            BelongsTo<ReservationRow, PriceRow>(reservation, nameof(ReservationRow.PriceId));
            reservation.ToTable(table =>
            {
                table.HasCheckConstraint("reservation_state", "state IN ('held', 'settled', 'released', 'unreported')");
                table.HasCheckConstraint("reservation_money", "held_money = 0 OR (held_money > 0 AND stack_id IS NULL AND price_id IS NOT NULL)");
            });
        });
        modelBuilder.Entity<SettlementRow>(settlement =>
        {
            settlement.HasKey(row => row.RequestId);
            settlement.HasIndex(row => new { row.UserId, row.CreatedAt }); // what one user used, by day
            BelongsTo<SettlementRow, ReservationRow>(settlement, nameof(SettlementRow.RequestId));
            BelongsTo<SettlementRow, UserRow>(settlement, nameof(SettlementRow.UserId));
            settlement.ToTable(table => table.HasCheckConstraint("settlement_kind", "kind IN ('reported', 'capped', 'unreported', 'late')"));
        });
        modelBuilder.Entity<VoucherRow>(voucher =>
        {
            voucher.HasIndex(row => row.RequestId).IsUnique();
            BelongsTo<VoucherRow, SettlementRow>(voucher, nameof(VoucherRow.RequestId));
        });
        modelBuilder.Entity<PriceRow>(price =>
        {
            price.HasIndex(row => new { row.NodeId, row.Model }).IsUnique().HasFilter("ended_at IS NULL"); // the current one
            BelongsTo<PriceRow, NodeRow>(price, nameof(PriceRow.NodeId));
            price.ToTable(table => table.HasCheckConstraint(
                "price_bounds",
                "prompt BETWEEN 0 AND 1000000000000 AND completion BETWEEN 0 AND 1000000000000 AND image BETWEEN 0 AND 1000000000000"));
        });
        modelBuilder.Entity<LedgerRow>(entry =>
        {
            entry.HasIndex(row => new { row.UserId, row.Id });
            entry.HasIndex(row => new { row.UserId, row.Reference }).IsUnique().HasFilter("reference IS NOT NULL"); // no payment twice
            BelongsTo<LedgerRow, UserRow>(entry, nameof(LedgerRow.UserId));
            BelongsTo<LedgerRow, StackRow>(entry, nameof(LedgerRow.StackId));
            entry.ToTable(table => table.HasCheckConstraint("ledger_kind", LedgerKinds));
        });

        // One spelling for both engines and for the statements by hand: snake_case.
        foreach (var entity in modelBuilder.Model.GetEntityTypes())
        {
            var name = SnakeCase(entity.ClrType.Name[..^"Row".Length]);
            entity.SetTableName(name is "ledger" or "audit" ? name : name + "s"); // of those there is one
            foreach (var property in entity.GetProperties())
                property.SetColumnName(SnakeCase(property.Name));
        }
    }

    private static void BelongsTo<TRow, TOwner>(Microsoft.EntityFrameworkCore.Metadata.Builders.EntityTypeBuilder<TRow> row, string column)
        where TRow : class
        where TOwner : class =>
        row.HasOne<TOwner>().WithMany().HasForeignKey(column).OnDelete(DeleteBehavior.Restrict);

    private static string SnakeCase(string name)
    {
        var text = new StringBuilder(name.Length + 4);
        foreach (var character in name)
        {
            if (char.IsUpper(character) && text.Length > 0)
                text.Append('_');
            text.Append(char.ToLowerInvariant(character));
        }

        return text.ToString();
    }

    private sealed class UnixMilliseconds() : ValueConverter<DateTimeOffset, long>(
        time => time.ToUnixTimeMilliseconds(),
        milliseconds => DateTimeOffset.FromUnixTimeMilliseconds(milliseconds));
}

/// <summary>The tables in SQLite: one machine, one file, no server.</summary>
internal sealed class SqliteGatewayDbContext(DbContextOptions<SqliteGatewayDbContext> options) : GatewayDbContext(options)
{
    /// <summary>For <c>dotnet ef migrations add</c> only.</summary>
    internal sealed class Design : IDesignTimeDbContextFactory<SqliteGatewayDbContext>
    {
        public SqliteGatewayDbContext CreateDbContext(string[] args) =>
            new(new DbContextOptionsBuilder<SqliteGatewayDbContext>().UseSqlite("Data Source=:memory:").Options);
    }
}

/// <summary>The tables in PostgreSQL. Texts compare by their bytes, as in SQLite, and no index depends on how a system's library sorts.</summary>
internal sealed class PostgresGatewayDbContext(DbContextOptions<PostgresGatewayDbContext> options) : GatewayDbContext(options)
{
    protected override void OnModelCreating(ModelBuilder modelBuilder)
    {
        base.OnModelCreating(modelBuilder);
        var columns = modelBuilder.Model.GetEntityTypes().SelectMany(entity => entity.GetProperties());
        foreach (var text in columns.Where(column => column.ClrType == typeof(string)))
            text.SetCollation("C");
    }

    /// <summary>For <c>dotnet ef migrations add</c> only.</summary>
    internal sealed class Design : IDesignTimeDbContextFactory<PostgresGatewayDbContext>
    {
        public PostgresGatewayDbContext CreateDbContext(string[] args) =>
            new(new DbContextOptionsBuilder<PostgresGatewayDbContext>().UseNpgsql("Host=localhost").Options);
    }
}
