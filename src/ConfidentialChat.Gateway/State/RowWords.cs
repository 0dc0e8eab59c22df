// The words of spec/gateway.md sections 5 and 10 as the tables have them, whichever engine keeps them (Rows.cs lists them).
using ConfidentialChat.Gateway.Metering;
using ConfidentialChat.Protocol;

namespace ConfidentialChat.Gateway.State;

internal static class RowWords
{
    public static string Spell(ReservationState state) => state switch
    {
        ReservationState.Held => "held",
        ReservationState.Settled => "settled",
        ReservationState.Released => "released",
        _ => "unreported",
    };

    public static string Spell(LedgerKind kind) => kind switch
    {
        LedgerKind.Deposit => "deposit",
        LedgerKind.Purchase => "purchase",
        LedgerKind.Settlement => "settlement",
        LedgerKind.Correction => "correction",
        _ => "refund",
    };

    public static string Spell(SettlementKind kind) => kind switch
    {
        SettlementKind.Reported => "reported",
        SettlementKind.Capped => "capped",
        SettlementKind.Unreported => "unreported",
        _ => "late",
    };

    public static ReservationState ReadReservationState(string word) => word switch
    {
        "held" => ReservationState.Held,
        "settled" => ReservationState.Settled,
        "released" => ReservationState.Released,
        _ => ReservationState.Unreported, // the table's constraint allows no fifth
    };

    public static KeySetDigest ReadDigest(string text) => KeySetDigest.TryParse(text, out var digest) ? digest : default;
}
