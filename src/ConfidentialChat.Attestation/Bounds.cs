// spec/attestation.md section 3. In bytes, unless the name says otherwise.
namespace ConfidentialChat.Attestation;

/// <summary>What is larger is refused before it is parsed.</summary>
public static class Bounds
{
    public const int Bundle = 4 << 20;
    public const int LiveEvidence = 6 << 20;
    public const int DeviceCount = 16;
    public const int Statement = 64 << 10;
    public const int TdxQuote = 64 << 10;
    public const int Certificate = 8 << 10;
    public const int CertificateCount = 4;
    public const int Pem = 64 << 10;
    public const int PemBlock = 12 << 10;
    public const int RevocationList = 256 << 10;
    public const int RevocationCount = 4096;
    public const int IntelJson = 256 << 10;
    public const int JsonDepth = 16;
    public const int BundleTokens = 4096;
    public const int IntelTokens = 32768;
    public const int EventLogTokens = 65536;
    public const int TcbLevelCount = 256;
    public const int EventLog = 1 << 20;
    public const int EventCount = 4096;
    public const int Policy = 1 << 20;
    public const int SpdmReport = 64 << 10;
    public const int DeviceList = 4 << 20;
    public const int DeviceCertificates = 5;
    public const int DeviceDocument = 256 << 10;
    public const int DeviceDocuments = 64;
    public const int Rim = 256 << 10;
    public const int RimElements = 4096;
    public const int RimAttributes = 64;
    public const int RimDepth = 16;
    public const int RimCertificates = 4;
    public const int Ocsp = 64 << 10;
    public const int OcspAnswers = 16;
    public const int NrasTokens = 64 << 10;
    public const int NrasAnswer = 1 << 20;
}
